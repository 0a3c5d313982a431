//! HTTP/2 where both sides agree on it in TLS.

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
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Barrier;
use tokio_rustls::TlsAcceptor;

use super::server::{Server, at_once};
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

async fn start(tls: TlsAcceptor) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::<AtomicU64>::default();
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let tls = tls.clone();
            tokio::spawn(async move { serve(tls.accept(stream).await.unwrap()).await });
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
async fn by_alpn() {
    let (_, config) = tls::certificate(&[b"h2"]);
    let (address, connections) = start(config.into()).await;
    let mut plan = posting(&format!("https://localhost:{}/", address.port()));
    plan.transport.insecure = true;
    let total = results(&plan).await.total;
    assert_eq!((total.answered, total.errors, total.bytes), (60, 0, 300), "{:?}", total.failures);
    assert_eq!(connections.load(Ordering::SeqCst), 2, "one for each thread");
    plan.targets[0].uri = format!("https://localhost:{}/moved", address.port()).parse().unwrap();
    let moved = results(&plan).await.total;
    assert_eq!((moved.statuses, moved.bytes), ([(200, 60)].into(), 300));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_http_stays_as_it_is_as_in_hey() {
    let server = Server::start(|_, _| at_once()).await;
    let total = results(&posting(&server.url("/"))).await.total;
    assert_eq!((total.answered, total.errors), (60, 0), "{:?}", total.failures);
    assert!(server.seen()[0].starts_with("POST / HTTP/1.1\r\n"));
}

/// Answers in HTTP/1.1 over TLS, but only when as many calls are open as the barrier wants.
async fn only_together(acceptor: TlsAcceptor, together: Arc<Barrier>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, together) = (acceptor.clone(), Arc::clone(&together));
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await.unwrap();
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                    together.wait().await;
                    stream.write_all(&server::ok("ok")).await.unwrap();
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_to_a_server_without_it_do_not_wait_for_each_other() {
    let (_, config) = tls::certificate(&[]);
    let address = only_together(config.into(), Arc::new(Barrier::new(2))).await;
    let mut plan = plan(&format!("https://localhost:{}/", address.port()), 6, 2);
    plan.threads = 1;
    plan.transport.http2 = true;
    plan.transport.insecure = true;
    plan.timeout = Some(Duration::from_secs(5));
    let total = results(&plan).await.total;
    assert_eq!((total.answered, total.errors), (6, 0), "{:?}", total.failures);
}
