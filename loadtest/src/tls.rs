//! TLS as a client: rustls with ring, the system's roots, more of them from a file, or no check at all.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};
use thiserror::Error;
use tokio_rustls::rustls;

use crate::plan::Transport;

/// Why TLS cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TlsError {
    /// The file of roots cannot be used.
    #[error("cannot read certificates from {path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing is trusted.
    #[error(
        "this machine has no trusted certificates; install its ca-certificates package, or give --cacert FILE or --insecure"
    )]
    NoRoots,
    /// rustls refuses the setup.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// The setup, made when the first connection needs it: reading the system's roots takes long, and a plain
/// target may still redirect to https.
pub(crate) struct Lazy {
    transport: Transport,
    config: OnceLock<Result<Arc<ClientConfig>, TlsError>>,
}

impl Lazy {
    pub(crate) fn new(transport: &Transport) -> Self {
        Self { transport: transport.clone(), config: OnceLock::new() }
    }

    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        self.config.get_or_init(|| config(&self.transport)).clone()
    }
}

/// How to connect with TLS.
fn config(transport: &Transport) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Setup(error.to_string()))?;
    let mut config = if transport.insecure {
        let anyone = Arc::new(Anyone(provider));
        builder.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth()
    } else {
        builder.with_root_certificates(roots(transport.ca_file.as_deref())?).with_no_client_auth()
    };
    if transport.http2 {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    Ok(Arc::new(config))
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    // Single bad certificates of the system do not matter while others work.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = file {
        let bad = |why: String| TlsError::File { path: path.to_owned(), why };
        let found = CertificateDer::pem_file_iter(path).map_err(|error| bad(error.to_string()))?;
        let mut count = 0;
        for certificate in found {
            let certificate = certificate.map_err(|error| bad(error.to_string()))?;
            roots.add(certificate).map_err(|error| bad(error.to_string()))?;
            count += 1;
        }
        if count == 0 {
            return Err(bad("no certificate in it; PEM is expected".to_owned()));
        }
    }
    if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok(roots) }
}

/// What is wrong with a certificate, in words.
pub(crate) fn certificate_text(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "unknown issuer".to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "not valid yet".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "made for another name".to_owned()
        }
        CertificateError::Revoked => "revoked".to_owned(),
        CertificateError::BadEncoding => "not a readable certificate".to_owned(),
        CertificateError::BadSignature => "its signature is wrong".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "not made for servers".to_owned()
        }
        CertificateError::Other(OtherError(why)) => checker_text(&why.to_string()),
        other => other.to_string(),
    }
}

/// What the checker of certificates names only in its own short words.
fn checker_text(word: &str) -> String {
    match word {
        "CaUsedAsEndEntity" => {
            "self-signed as an authority, which no server may show as its own".to_owned()
        }
        "UnsupportedCertVersion" => "older than version 3".to_owned(),
        other => format!("refused: {other}"),
    }
}

/// Trusts every certificate; signatures of the handshake are not checked either.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Word(&'static str);

    impl std::fmt::Display for Word {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::error::Error for Word {}

    #[test]
    fn certificates_are_refused_in_words() {
        let other = |word| CertificateError::Other(OtherError(Arc::new(Word(word))));
        assert!(certificate_text(&other("CaUsedAsEndEntity")).contains("self-signed"));
        assert_eq!(certificate_text(&other("Odd")), "refused: Odd");
        assert_eq!(certificate_text(&CertificateError::Expired), "expired");
    }
}
