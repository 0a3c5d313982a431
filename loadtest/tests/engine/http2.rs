//! HTTP/2, by prior knowledge and by ALPN.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.version(), Version::HTTP_2);
    if request.uri().path() == "/moved" {
        let answer = Response::builder().status(307).header("location", "/");
        return Ok(answer.body(Full::default()).unwrap());
    }
    let body = request.into_body().collect().await.unwrap().to_bytes();
    Ok(Response::new(Full::new(body)))
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    // Clients hang up in the end.
    let _ = server.serve_connection(TokioIo::new(stream), service_fn(echo)).await;
}

async fn start(tls: Option<TlsAcceptor>) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::<AtomicU64>::default();
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let tls = tls.clone();
            tokio::spawn(async move {
                match tls {
                    Some(tls) => serve(tls.accept(stream).await.unwrap()).await,
                    None => serve(stream).await,
                }
            });
        }
    });
    (address, connections)
}

fn posting(url: &str) -> Plan {
    let mut plan = plan(url, 60, 20);
    plan.transport.http2 = true;
    plan.targets[0].method = http::Method::POST;
    plan.targets[0].body = "hello".into();
    plan
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_prior_knowledge() {
    let (address, connections) = start(None).await;
    let total = results(&posting(&format!("http://{address}/"))).await.total;
    assert_eq!((total.answered, total.errors, total.bytes), (60, 0, 300), "{:?}", total.failures);
    assert_eq!(connections.load(Ordering::SeqCst), 2, "one for each thread");
    let moved = results(&posting(&format!("http://{address}/moved"))).await.total;
    assert_eq!((moved.statuses, moved.bytes), ([(200, 60)].into(), 300));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_alpn() {
    let (_, config) = tls::certificate(&[b"h2"]);
    let (address, _) = start(Some(config.into())).await;
    let mut plan = posting(&format!("https://localhost:{}/", address.port()));
    plan.transport.insecure = true;
    let total = results(&plan).await.total;
    assert_eq!((total.answered, total.errors, total.bytes), (60, 0, 300), "{:?}", total.failures);
}
