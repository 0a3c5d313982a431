//! One registry as the source of one image: its login, its manifests, its blobs.
//!
//! `oci-client` speaks with the registry, but for manifests: those are asked for here, so that no more of one
//! is read than a manifest may have.

use bytes::Bytes;
use futures_util::stream::BoxStream;
use oci_client::client::{
    BlobResponse, Certificate, CertificateEncoding, ClientConfig, ClientProtocol,
};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference as Source, RegistryOperation};
use reqwest::header::{ACCEPT, CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Method, Response};
use tokio::sync::Mutex;

use super::credentials::{self, Login};
use super::error::{Subject, chain};
use super::identity;
use super::registries::Registries;
use crate::content::LARGEST_DOCUMENT;
use crate::digest;
use crate::error::Failure;
use crate::manifest::{OCI_INDEX, OCI_MANIFEST};
use crate::reference::Reference;

const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const MANIFESTS: [&str; 4] = [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST];
const DIGEST: &str = "docker-content-digest";
const CONNECT: std::time::Duration = std::time::Duration::from_secs(10);
/// Most bytes that are read of what a registry says with an error.
const LONGEST_COMPLAINT: usize = 64 << 10;

/// A registry that is asked for one image.
pub(crate) struct Registry {
    image: String,
    host: String,
    source: Source,
    /// Its address, with the scheme.
    base: String,
    repository: String,
    /// What follows the names of manifests.
    namespace: String,
    login: Login,
    client: Client,
    http: reqwest::Client,
    token: Mutex<Option<String>>,
}

/// A manifest or index, exactly as it came: its digest covers every byte.
pub(crate) struct Fetched {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: String,
    /// Empty when the registry says nothing that is known.
    pub(crate) media_type: String,
}

/// Bytes of a blob under way.
pub(crate) struct Flow {
    pub(crate) bytes: BoxStream<'static, std::io::Result<Bytes>>,
    /// How many of the bytes come before those that were asked for.
    pub(crate) ahead: u64,
}

impl Registry {
    /// Makes ready to ask `endpoint` for an image, with the login of that host. Asks nothing yet.
    pub(crate) async fn new(
        registries: &Registries,
        reference: &Reference,
        endpoint: &str,
    ) -> Result<Self, Failure> {
        let source = source(reference, endpoint);
        let address = source.resolve_registry();
        let scheme = if registries.is_plain(endpoint) { "http" } else { "https" };
        let namespace = source.namespace().map(|it| format!("?ns={it}")).unwrap_or_default();
        let (client, http) = clients(registries, scheme, address).await?;
        Ok(Self {
            image: reference.to_string(),
            host: endpoint.to_owned(),
            base: format!("{scheme}://{address}"),
            repository: reference.repository.clone(),
            namespace,
            source,
            login: credentials::find(registries, endpoint).await,
            client,
            http,
            token: Mutex::default(),
        })
    }

    /// What errors are about.
    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject { image: &self.image, host: &self.host, who: self.login.who.as_deref() }
    }

    /// Logs in, where the registry wants that; again, when what it gave has run out.
    pub(crate) async fn log_in(&self) -> Result<(), Failure> {
        let auth = match &self.login.identity {
            Some(identity) => self.exchange(identity).await?,
            None => self.login.auth.clone(),
        };
        let auth = self.client.auth(&self.source, &auth, RegistryOperation::Pull).await;
        let token = auth.map_err(|error| self.subject().client("login", error))?;
        *self.token.lock().await = token;
        Ok(())
    }

    /// What an identity token is good for now.
    async fn exchange(&self, identity: &str) -> Result<RegistryAuth, Failure> {
        let asked = self.http.get(format!("{}/v2/", self.base)).send().await;
        let asked = asked.map_err(|error| self.subject().away(chain(&error.without_url())))?;
        let challenge = header(&asked, WWW_AUTHENTICATE.as_str());
        let Some(challenge) = challenge.filter(|_| !asked.status().is_success()) else {
            return Ok(RegistryAuth::Anonymous);
        };
        let place = identity::place(&challenge, self.base.starts_with("https:"));
        let place = place.map_err(|why| self.subject().refused(&why))?;
        let form = place.form(&self.repository, identity);
        let answer = self.http.post(place.realm).form(&form).send().await;
        let mut answer =
            answer.map_err(|error| self.subject().away(chain(&error.without_url())))?;
        let body = self.read(&mut answer, LONGEST_COMPLAINT).await?.unwrap_or_default();
        match answer.status().as_u16() {
            200 => {}
            // What they say of a token that is not good, or not any more.
            400 => return Err(self.subject().refused("its identity token is not good any more")),
            code => return Err(self.subject().status("token", code, &body)),
        }
        let token = identity::token(&body);
        let none = || self.subject().damaged("answer to an identity token", "no token is in it");
        token.map(RegistryAuth::Bearer).ok_or_else(none)
    }

    /// What the image's name stands for now; none when the registry does not tell.
    pub(crate) async fn digest(&self) -> Result<Option<String>, Failure> {
        let answer = self.ask(Method::HEAD, self.wanted()).await?;
        Ok(header(&answer, DIGEST).filter(|it| crate::reference::is_digest(it)))
    }

    /// The manifest or index of the image.
    pub(crate) async fn top(&self) -> Result<Fetched, Failure> {
        self.manifest(self.wanted()).await
    }

    /// A manifest by tag or digest.
    pub(crate) async fn manifest(&self, name: &str) -> Result<Fetched, Failure> {
        let mut answer = self.ask(Method::GET, name).await?;
        let told = header(&answer, DIGEST);
        let media_type = header(&answer, CONTENT_TYPE.as_str()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        let media_type = MANIFESTS.into_iter().find(|it| *it == media_type).unwrap_or_default();
        let largest = usize::try_from(LARGEST_DOCUMENT).unwrap_or(usize::MAX);
        let bytes = self.read(&mut answer, largest).await?.ok_or_else(|| {
            Failure::Told(format!(
                "the manifest of image {} has more than {largest} bytes, too many for one",
                self.image
            ))
        })?;
        let digest = digest::of(&bytes);
        let wanted = Some(name.to_owned()).filter(|it| it.contains(':')).or(told);
        if let Some(wanted) = wanted.filter(|it| it.starts_with("sha256:") && *it != digest) {
            let why = format!("its digest is {digest}, not {wanted}");
            return Err(self.subject().damaged("manifest", why));
        }
        Ok(Fetched { bytes, digest, media_type: media_type.to_owned() })
    }

    /// The bytes of a blob from `offset` on.
    pub(crate) async fn blob(&self, digest: &str, offset: u64) -> Result<Flow, Failure> {
        let failed = |error| self.subject().client(&format!("layer {digest}"), error);
        if offset == 0 {
            let flow = self.client.pull_blob_stream(&self.source, digest).await.map_err(failed)?;
            return Ok(Flow { bytes: flow.stream, ahead: 0 });
        }
        let asked = self.client.pull_blob_stream_partial(&self.source, digest, offset, None).await;
        Ok(match asked.map_err(failed)? {
            BlobResponse::Partial(flow) => Flow { bytes: flow.stream, ahead: 0 },
            // It starts at the beginning, whatever was asked.
            BlobResponse::Full(flow) => Flow { bytes: flow.stream, ahead: offset },
        })
    }

    /// The digest, or else the tag, that the user named.
    fn wanted(&self) -> &str {
        self.source.digest().or(self.source.tag()).unwrap_or("latest")
    }

    async fn ask(&self, method: Method, name: &str) -> Result<Response, Failure> {
        let Self { base, repository, namespace, .. } = self;
        let address = format!("{base}/v2/{repository}/manifests/{name}{namespace}");
        let request = self.http.request(method, address).header(ACCEPT, MANIFESTS.join(", "));
        let request = match (&*self.token.lock().await, &self.login.auth) {
            (Some(token), _) => request.bearer_auth(token),
            (None, RegistryAuth::Basic(user, password)) => request.basic_auth(user, Some(password)),
            (None, _) => request,
        };
        let answer = request.send().await;
        let mut answer =
            answer.map_err(|error| self.subject().away(chain(&error.without_url())))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let complaint = self.read(&mut answer, LONGEST_COMPLAINT).await?.unwrap_or_default();
        Err(self.subject().status("manifest", answer.status().as_u16(), &complaint))
    }

    /// The body of an answer; none when it has more than so many bytes.
    async fn read(&self, answer: &mut Response, most: usize) -> Result<Option<Vec<u8>>, Failure> {
        let mut bytes = Vec::new();
        let cut = |error: reqwest::Error| self.subject().away(chain(&error.without_url()));
        while let Some(piece) = answer.chunk().await.map_err(cut)? {
            if bytes.len() + piece.len() > most {
                return Ok(None);
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Some(bytes))
    }
}

/// The image in the words of the registry client.
fn source(reference: &Reference, endpoint: &str) -> Source {
    let (host, repository) = (reference.host.clone(), reference.repository.clone());
    let mut source = match (&reference.digest, &reference.tag) {
        (Some(digest), _) => Source::with_digest(host, repository, digest.clone()),
        (None, tag) => {
            Source::with_tag(host, repository, tag.clone().unwrap_or_else(|| "latest".to_owned()))
        }
    };
    if endpoint != reference.host {
        source.set_mirror_registry(endpoint.to_owned());
    }
    source
}

/// The registry client, and one like it for manifests.
async fn clients(
    registries: &Registries,
    scheme: &str,
    address: &str,
) -> Result<(Client, reqwest::Client), Failure> {
    // The registry client takes TLS from the process; one that the program has set up stays.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    let plain = if scheme == "http" { vec![address.to_owned()] } else { Vec::new() };
    let mut config = ClientConfig {
        protocol: ClientProtocol::HttpsExcept(plain),
        read_timeout: Some(registries.silence),
        connect_timeout: Some(CONNECT),
        user_agent: "tidegate",
        https_proxy: registries.proxies.https.clone(),
        http_proxy: registries.proxies.http.clone(),
        no_proxy: registries.proxies.except.clone(),
        ..ClientConfig::default()
    };
    if config.http_proxy.is_none() && config.https_proxy.is_none() {
        // A client without any proxy would look for some in the environment.
        config.http_proxy = Some("http://127.0.0.1:9".to_owned());
        config.no_proxy = Some("*,0.0.0.0/0,::/0".to_owned());
    }
    let mut http = reqwest::Client::builder()
        .user_agent(config.user_agent)
        .read_timeout(registries.silence)
        .connect_timeout(CONNECT)
        .no_proxy();
    for path in &registries.authorities {
        let reading = format!("read certificates of {}", path.display());
        let data = tokio::fs::read(path).await.map_err(Failure::io(reading))?;
        http = http.tls_certs_merge(
            reqwest::Certificate::from_pem_bundle(&data)
                .map_err(|bad| unusable(registries, &bad))?,
        );
        config
            .extra_root_certificates
            .push(Certificate { encoding: CertificateEncoding::Pem, data });
    }
    let except = || registries.proxies.except.as_deref().and_then(reqwest::NoProxy::from_string);
    for (proxy, of) in [
        (&registries.proxies.https, reqwest::Proxy::https::<&str> as fn(_) -> _),
        (&registries.proxies.http, reqwest::Proxy::http::<&str>),
    ] {
        if let Some(proxy) = proxy {
            let proxy = of(proxy.as_str()).map_err(|bad| unusable(registries, &bad))?;
            http = http.proxy(proxy.no_proxy(except()));
        }
    }
    let http = http.build().map_err(|bad| unusable(registries, &bad))?;
    let client = Client::try_from(config).map_err(|bad| unusable(registries, &bad))?;
    Ok((client, http))
}

fn unusable(registries: &Registries, bad: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::Told(format!(
        "the settings of registries cannot be used (authorities {:?}, proxies {:?}): {}",
        registries.authorities,
        registries.proxies,
        chain(bad)
    ))
}

fn header(answer: &Response, name: &str) -> Option<String> {
    Some(answer.headers().get(name)?.to_str().ok()?.to_owned())
}
