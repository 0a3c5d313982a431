//! A registry of its own for a test: Debian's `docker-registry` on a loopback port, with or without a login;
//! and images that are pushed to it over HTTP.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::daemon::{skip, within};
use crate::images::digest;

const PATIENCE: Duration = Duration::from_secs(30);
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The login of registries that have one, and what `htpasswd -nbB` makes of it.
pub const LOGIN: (&str, &str) = ("ann", "open sesame");
const HASH: &str = "ann:$2y$05$xuazddSKkW.mMvV3VyoCduh49Ak3zpGaG1qRNAU.Dj8tuVFgF.jlG\n";

/// The architecture of this machine in the words of images.
pub fn here() -> &'static str {
    if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" }
}

/// An image, or several under one index, in its parts.
#[derive(Clone, Default)]
pub struct Image {
    /// All that manifests speak of, by digest.
    pub blobs: BTreeMap<String, Vec<u8>>,
    /// Manifests that the top speaks of, by digest.
    pub manifests: BTreeMap<String, Vec<u8>>,
    /// What its name stands for.
    pub top: Vec<u8>,
    /// What that is.
    pub media_type: String,
}

impl Image {
    /// An image with one file in each layer, for this kind of machine.
    pub fn new(architecture: &str, layers: &[&[u8]]) -> Self {
        let tars: Vec<Vec<u8>> = layers
            .iter()
            .enumerate()
            .map(|(number, bytes)| tar(&format!("file-{number}"), bytes))
            .collect();
        let diff_ids: Vec<String> = tars.iter().map(|tar| digest(tar)).collect();
        let config = json!({
            "architecture": architecture, "os": "linux", "config": {"Entrypoint": ["/entry"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        Self::of(config.to_string().into_bytes(), tars)
    }

    fn of(config: Vec<u8>, layers: Vec<Vec<u8>>) -> Self {
        let layer = |bytes: &Vec<u8>| descriptor("application/vnd.oci.image.layer.v1.tar", bytes);
        // Spaces that no serializer would write: the exact bytes must be kept.
        let top = format!(
            "{{ \"schemaVersion\" : 2,\n  \"mediaType\": \"{MANIFEST}\", \"config\": {}, \"layers\": {} }}\n",
            descriptor("application/vnd.oci.image.config.v1+json", &config),
            Value::from(layers.iter().map(layer).collect::<Vec<_>>()),
        );
        let blobs = layers.into_iter().chain([config]).map(|blob| (digest(&blob), blob)).collect();
        Self {
            blobs,
            manifests: BTreeMap::new(),
            top: top.into_bytes(),
            media_type: MANIFEST.to_owned(),
        }
    }

    /// The one image of an OCI layout in a tar file.
    pub fn read(path: &Path) -> Self {
        let mut files = BTreeMap::new();
        let mut archive = tar::Archive::new(fs::File::open(path).expect("our file"));
        for entry in archive.entries().expect("our file") {
            let mut entry = entry.expect("our file");
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("our file");
            let path = entry.path().expect("plain names").display().to_string();
            files.insert(path, bytes);
        }
        let index: Value = serde_json::from_slice(&files["index.json"]).expect("an index");
        let wanted = index["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
        let is_blob = |(path, bytes): (String, Vec<u8>)| {
            Some((format!("sha256:{}", path.strip_prefix("blobs/sha256/")?), bytes))
        };
        let mut blobs: BTreeMap<_, _> = files.into_iter().filter_map(is_blob).collect();
        let top = blobs.remove(&wanted).expect("its manifest");
        Self { blobs, manifests: BTreeMap::new(), top, media_type: MANIFEST.to_owned() }
    }

    /// Images for several platforms, as `OS/ARCHITECTURE[/VARIANT]`, under one index.
    pub fn index(images: &[(&str, &Self)]) -> Self {
        let mut whole = Self { media_type: INDEX.to_owned(), ..Self::default() };
        let mut entries = Vec::new();
        for (platform, image) in images {
            let mut words = platform.split('/');
            let mut entry = descriptor(MANIFEST, &image.top);
            entry["platform"] = json!({"os": words.next(), "architecture": words.next()});
            if let Some(variant) = words.next() {
                entry["platform"]["variant"] = variant.into();
            }
            entries.push(entry);
            whole.blobs.extend(image.blobs.clone());
            whole.manifests.insert(digest(&image.top), image.top.clone());
        }
        whole.top = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
            .to_string()
            .into_bytes();
        whole
    }

    /// The digest that its name stands for.
    pub fn digest(&self) -> String {
        digest(&self.top)
    }

    /// The digest of a layer.
    pub fn layer(&self, number: usize) -> String {
        let manifest: Value = serde_json::from_slice(&self.top).expect("a manifest");
        manifest["layers"][number]["digest"].as_str().expect("a digest").to_owned()
    }
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

fn tar(path: &str, bytes: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, path, bytes).expect("memory");
    archive.into_inner().expect("memory")
}

/// A running `docker-registry`.
pub struct Registry {
    folder: TempDir,
    child: Option<Child>,
    port: u16,
    with_login: bool,
    /// A certificate for `localhost` and its key, in PEM.
    tls: Option<(String, String)>,
}

impl Registry {
    /// Starts one that everybody may use; none where there is no such program, which is said by name.
    pub fn start() -> Option<Self> {
        Self::launch(false, None)
    }

    /// Starts one that wants [`LOGIN`].
    pub fn start_with_login() -> Option<Self> {
        Self::launch(true, None)
    }

    /// Starts one that speaks TLS, as `localhost`.
    pub fn start_with_tls(certificate: String, key: String) -> Option<Self> {
        Self::launch(false, Some((certificate, key)))
    }

    fn launch(with_login: bool, tls: Option<(String, String)>) -> Option<Self> {
        if Command::new("docker-registry").arg("--version").stdout(Stdio::null()).status().is_err()
        {
            skip("docker-registry is not installed (make deps-test)");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let mut registry = Self { folder, child: None, port: 0, with_login, tls };
        // Another program may take a free port first.
        while registry.child.is_none() {
            registry.port = free_port();
            registry.go_on();
        }
        Some(registry)
    }

    /// Starts it over what is there.
    pub fn go_on(&mut self) {
        let (file, root) = (self.folder.path().join("config.yml"), self.folder.path().join("data"));
        let port = self.port;
        let mut config = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage:\n  filesystem: {{rootdirectory: {root:?}}}\n\
             http:\n  addr: \"127.0.0.1:{port}\"\n"
        );
        if let Some((certificate, key)) = &self.tls {
            let files = ["cert.pem", "key.pem"].map(|name| self.folder.path().join(name));
            fs::write(&files[0], certificate).expect("a file");
            fs::write(&files[1], key).expect("a file");
            config += &format!("  tls: {{certificate: {:?}, key: {:?}}}\n", files[0], files[1]);
        }
        if self.with_login {
            let users = self.folder.path().join("htpasswd");
            fs::write(&users, HASH).expect("a file");
            config += &format!("auth:\n  htpasswd: {{realm: here, path: {users:?}}}\n");
        }
        fs::write(&file, config).expect("a file");
        let log = fs::File::create(self.folder.path().join("log")).expect("a file");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn();
        let mut child = child.expect("it was looked for before");
        let mut ended = false;
        let up = within(PATIENCE, || {
            ended = child.try_wait().expect("our child").is_some();
            ended || TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        assert!(up, "the registry does not answer: {}", log());
        if !ended {
            self.child = Some(child);
        }
    }

    /// Kills it; what was pushed is kept.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it was started here");
            child.wait().expect("it was started here");
        }
    }

    /// Its host and port.
    pub fn host(&self) -> String {
        let name = if self.tls.is_some() { "localhost" } else { "127.0.0.1" };
        format!("{name}:{}", self.port)
    }

    /// Pushes an image under `name`, such as `team/app:1`; returns its full name.
    pub async fn push(&self, name: &str, image: &Image) -> String {
        let (repository, tag) = name.split_once(':').expect("a tag");
        // A second one in this process changes nothing.
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let client =
            reqwest::Client::builder().no_proxy().danger_accept_invalid_certs(true).build();
        let client = client.expect("a client");
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let base = format!("{scheme}://{}/v2/{repository}", self.host());
        let send = async |request: reqwest::RequestBuilder| {
            let request =
                if self.with_login { request.basic_auth(LOGIN.0, Some(LOGIN.1)) } else { request };
            let answer = request.send().await.expect("the registry answers");
            assert!(answer.status().is_success(), "{} {}", answer.url(), answer.status());
            answer
        };
        for (digest, blob) in &image.blobs {
            let begun = send(client.post(format!("{base}/blobs/uploads/"))).await;
            let place = begun.headers()["location"].to_str().expect("text");
            let sign = if place.contains('?') { '&' } else { '?' };
            send(client.put(format!("{place}{sign}digest={digest}")).body(blob.clone())).await;
        }
        let manifests =
            image.manifests.iter().map(|(digest, bytes)| (digest.as_str(), bytes, MANIFEST));
        for (name, bytes, kind) in manifests.chain([(tag, &image.top, image.media_type.as_str())]) {
            let request = client.put(format!("{base}/manifests/{name}"));
            send(request.header("content-type", kind).body(bytes.clone())).await;
        }
        format!("{}/{name}", self.host())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            eprintln!("the registry said:\n{log}");
        }
        self.kill();
    }
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.local_addr().expect("bound").port()
}
