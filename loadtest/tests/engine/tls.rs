//! https: who is trusted, who is not, and what is said about it.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use tidegate_loadtest::{ConnectError, TlsError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto::ring};

use super::*;

/// A certificate for `localhost`, as PEM, and a server's configuration with it.
pub fn certificate(alpn: &[&[u8]]) -> (String, Arc<ServerConfig>) {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), config(certificate.der(), &key, alpn))
}

fn config(
    certificate: &CertificateDer<'static>,
    key: &KeyPair,
    alpn: &[&[u8]],
) -> Arc<ServerConfig> {
    let secret = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], secret)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

/// Answers `ok` to everything over TLS.
async fn start(config: Arc<ServerConfig>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(config);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                    if stream.write_all(&super::server::ok("ok")).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Calls `https://NAME` at the server.
fn secure(name: &str, address: SocketAddr) -> Plan {
    let mut plan = plan(&format!("https://{name}:{}/", address.port()), 6, 2);
    plan.transport.connect_to = Some(address);
    plan
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_trusted_certificates_are_taken() {
    let (pem, config) = certificate(&[]);
    let address = start(config).await;
    let pem = file(&pem);

    let mut plan = secure("localhost", address);
    plan.transport.ca_file = Some(pem.path().to_owned());
    let total = results(&plan).await.total;
    assert_eq!((total.answered, total.errors, total.bytes), (6, 0, 12));

    plan.targets = secure("other.example", address).targets;
    let error = outcome(&plan).await.unwrap_err().to_string();
    assert!(error.contains("other.example") && error.contains("made for another name"), "{error}");

    plan.transport.insecure = true;
    assert_eq!(results(&plan).await.total.answered, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_issuer_is_named_with_the_way_out() {
    let (_, config) = certificate(&[]);
    let address = start(config).await;
    let (another, _) = certificate(&[]);
    let another = file(&another);
    let mut plan = secure("localhost", address);
    plan.transport.ca_file = Some(another.path().to_owned());
    let error = outcome(&plan).await.unwrap_err();
    assert!(matches!(error, RunError::Connect(ConnectError::NotTrusted { .. })), "{error}");
    let text = error.to_string();
    assert!(text.contains("--cacert") && text.contains("--insecure"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_self_made_authority_is_refused_in_words() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let own = params.self_signed(&key).unwrap();
    let address = start(config(own.der(), &key, &[])).await;
    let trusted = file(&own.pem());
    let mut plan = secure("localhost", address);
    plan.transport.ca_file = Some(trusted.path().to_owned());
    let text = outcome(&plan).await.unwrap_err().to_string();
    assert!(text.contains("(self-signed as an authority"), "{text}");
    assert!(!text.contains("Other"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_without_tls_is_said_to_be_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut hello = [0; 4096];
            let _ = stream.read(&mut hello).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let error = outcome(&secure("localhost", address)).await.unwrap_err();
    assert!(matches!(error, RunError::Connect(ConnectError::Tls { .. })), "{error}");
    assert!(error.to_string().ends_with("check that the port speaks https"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_says_nothing_runs_out_of_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut plan = secure("localhost", listener.local_addr().unwrap());
    plan.timeout = Some(std::time::Duration::from_millis(50));
    let error = outcome(&plan).await.unwrap_err();
    assert!(matches!(error, RunError::Connect(ConnectError::TimedOut { .. })), "{error}");
    drop(listener);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_without_certificates_are_refused() {
    let empty = file("nothing");
    let mut plan = secure("localhost", ([127, 0, 0, 1], 1).into());
    plan.transport.ca_file = Some(empty.path().to_owned());
    let error = outcome(&plan).await.unwrap_err();
    assert!(matches!(error, RunError::Tls(TlsError::File { .. })), "{error}");
    plan.transport.ca_file = Some("/does/not/exist".into());
    let text = outcome(&plan).await.unwrap_err().to_string();
    assert!(text.starts_with("cannot read certificates from /does/not/exist"), "{text}");
}
