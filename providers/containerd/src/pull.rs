//! Images pulled from registries: found by their name, fetched into containerd's content store in parts, and
//! named when all is there, so that a name never stands for half an image.
//!
//! All happens under a lease, without which containerd would collect what no name holds yet.

mod credentials;
mod error;
mod fetch;
mod flights;
mod identity;
mod patience;
mod progress;
mod registries;
mod registry;

use std::collections::HashMap;
use std::time::Duration;

use containerd_client::types::Descriptor as Target;
use futures_util::future::try_join_all;
use tidegate_core::DEFAULT_NAMESPACE;
use tokio::sync::Semaphore;
use tracing::warn;

pub use self::error::PullError;
pub use self::progress::{Progress, PullEvent};
pub use self::registries::{Proxies, PullPolicy, Registries, UnknownPolicy};

use self::error::{may_pass, said_plainly};
use self::fetch::{Fetch, keep};
use self::flights::Flights;
use self::patience::Patience;
use self::registry::{Fetched, Registry};
use crate::Config;
use crate::connection::{Connection, Scope};
use crate::content::{self, Blob, LARGEST_DOCUMENT};
use crate::error::Failure;
use crate::ground::BY_PROCESS;
use crate::image::{self, keeps_entries, keeps_parts};
use crate::lease::Lease;
use crate::manifest::{self, Descriptor, Document, ImageConfig, OCI_CONFIG};
use crate::reference::{Reference, is_digest};

pub(crate) use self::error::said_plainly as plainly;
pub(crate) use self::progress::log;

const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Most layers of an image. Docker makes at most 127.
const MOST_LAYERS: usize = 128;
/// Layers that are fetched at once.
const AT_ONCE: usize = 3;
/// Longest that a pull may take: less than its lease lives.
const LONGEST: Duration = Duration::from_secs(50 * 60);

/// What came of a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The image's full name.
    pub name: String,
    /// What the name stands for.
    pub digest: String,
    /// Whether it was not here before.
    pub new: bool,
}

/// Pulls an image into the namespace where functions find it and unpacks it, so that the first start of a
/// function of it need not. What is here and has not changed is not fetched again.
///
/// `progress` is told what happens. Where the program has set no default provider of TLS for the process, ring is.
///
/// # Errors
/// When containerd or the registry cannot be reached, the image is not there, not for us or not for this
/// machine, is damaged, or has no room; the text says which and what helps.
pub async fn pull_image(
    config: &Config,
    name: &str,
    progress: &Progress<'_>,
) -> Result<Pulled, Failure> {
    let reference = Reference::parse(name)?;
    let connection =
        Connection::new(&config.socket, &format!("{BY_PROCESS}{}", std::process::id()));
    connection.version().await?;
    let scope = connection.within(&format!("{}{DEFAULT_NAMESPACE}", config.namespace_prefix));
    let puller = Puller::new(config.registries.clone());
    let here = image::find(&scope, &reference.to_string()).await?;
    let target = puller.newest(&scope, &reference, here.as_ref(), progress).await?;
    let name = reference.to_string();
    progress(&PullEvent::Unpacking { image: name.clone() });
    image::open(&scope, &config.snapshotter, &name, &target).await.map_err(said_plainly)?;
    let new = here.is_none_or(|here| here.digest != target.digest);
    Ok(Pulled { name, digest: target.digest, new })
}

/// Pulls images.
#[derive(Debug)]
pub(crate) struct Puller {
    registries: Registries,
    flights: Flights,
}

impl Puller {
    pub(crate) fn new(registries: Registries) -> Self {
        Self { registries, flights: Flights::default() }
    }

    /// The policy of functions that set none.
    pub(crate) fn policy(&self) -> PullPolicy {
        self.registries.policy
    }

    /// What the image's name stands for now: fetched when it is not what is `here`.
    pub(crate) async fn newest(
        &self,
        scope: &Scope,
        reference: &Reference,
        here: Option<&Target>,
        progress: &Progress<'_>,
    ) -> Result<Target, Failure> {
        if let (Some(here), Some(wanted)) = (here, &reference.digest)
            && here.digest == *wanted
        {
            return Ok(here.clone());
        }
        self.ask_all(scope, reference, here, progress).await
    }

    /// Asks the mirrors of a registry, then itself.
    async fn ask_all(
        &self,
        scope: &Scope,
        reference: &Reference,
        here: Option<&Target>,
        progress: &Progress<'_>,
    ) -> Result<Target, Failure> {
        for mirror in self.registries.mirrors(&reference.host) {
            match self.ask(mirror, scope, reference, here, progress).await {
                Err(failure) if is_of_registry(&failure) => {
                    warn!(registry = mirror, "a mirror is passed over: {failure}");
                }
                done => return done,
            }
        }
        self.ask(&reference.host, scope, reference, here, progress).await
    }

    async fn ask(
        &self,
        endpoint: &str,
        scope: &Scope,
        reference: &Reference,
        here: Option<&Target>,
        progress: &Progress<'_>,
    ) -> Result<Target, Failure> {
        let name = reference.to_string();
        progress(&PullEvent::Asking { image: name.clone(), host: endpoint.to_owned() });
        let registry = Registry::new(&self.registries, reference, endpoint).await?;
        let patience = || Patience::new(&self.registries, progress);
        patience().with(|| registry.log_in()).await?;
        if let Some(here) = here {
            let digest = patience().with(|| registry.digest()).await?;
            if digest.is_some_and(|digest| digest == here.digest) {
                return Ok(here.clone());
            }
        }
        let fetch = Fetch {
            scope,
            registry: &registry,
            registries: &self.registries,
            flights: &self.flights,
            progress,
        };
        Pull { image: &name, reference, fetch }.run().await
    }
}

/// One image from one registry.
#[derive(Copy, Clone)]
struct Pull<'a> {
    image: &'a str,
    reference: &'a Reference,
    fetch: Fetch<'a>,
}

/// The lease of a pull. When the pull does not end it, because whoever wanted the image has gone or a registry is
/// away, it runs out by itself: until then the next try finds what has come.
struct Held(Option<Lease>);

impl Held {
    async fn end(mut self) {
        if let Some(lease) = self.0.take() {
            lease.end().await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(lease) = self.0.take() {
            lease.leave();
        }
    }
}

/// The documents of an image.
struct Documents {
    /// What the name stands for.
    top: Fetched,
    /// The same, when it is an index.
    index: Option<Document>,
    /// The manifest, when it is not the top itself.
    chosen: Option<Fetched>,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

impl Pull<'_> {
    async fn run(&self) -> Result<Target, Failure> {
        let documents = self.documents().await?;
        let lease = Lease::take(self.fetch.scope).await?;
        let under = lease.scope().clone();
        let held = Held(Some(lease));
        let mut pull: Pull<'_> = *self;
        pull.fetch.scope = &under;
        let minutes = LONGEST.as_secs() / 60;
        let too_slow = PullError::TooSlow { image: self.image.to_owned(), minutes };
        let brought = tokio::time::timeout(LONGEST, pull.bring(&documents)).await;
        match brought.map_err(|_| Failure::Pull(too_slow))? {
            Err(failure) if may_pass(&failure) => Err(failure),
            done => {
                held.end().await;
                done
            }
        }
    }

    /// Brings here what the documents tell of, under the lease.
    async fn bring(&self, documents: &Documents) -> Result<Target, Failure> {
        let Fetch { scope, progress, .. } = self.fetch;
        let Documents { top, index, chosen, config, layers } = documents;
        self.check_config(config).await?;
        let bytes = layers.iter().fold(0, |sum: u64, layer| sum.saturating_add(layer.size));
        progress(&PullEvent::Found { digest: top.digest.clone(), layers: layers.len(), bytes });
        let room = Semaphore::new(AT_ONCE);
        try_join_all(layers.iter().map(|layer| async {
            let _place = room.acquire().await.expect("it is not closed");
            self.fetch.blob(&self.blob(&layer.digest, layer.size)).await
        }))
        .await?;
        let manifest = chosen.as_ref().unwrap_or(top);
        self.keep(manifest, keeps_parts(config, layers)).await?;
        if let Some(index) = index {
            self.keep(top, keeps_entries(index)).await?;
        }
        let descriptor = Descriptor {
            media_type: top.media_type.clone(),
            digest: top.digest.clone(),
            size: top.bytes.len() as u64,
            ..Descriptor::default()
        };
        let target = image::target(&descriptor, index.is_some());
        image::name(scope, self.image, target.clone()).await.map_err(said_plainly)?;
        Ok(target)
    }

    async fn documents(&self) -> Result<Documents, Failure> {
        let Fetch { registry, .. } = self.fetch;
        let patience = || Patience::new(self.fetch.registries, self.fetch.progress);
        let (top, document) =
            patience().with(|| async { self.read(registry.top().await?) }).await?;
        let (index, chosen, document, digest) = match &document.manifests {
            None => (None, None, document, top.digest.clone()),
            Some(entries) => {
                let digest = manifest::choose(self.image, entries)?.digest.clone();
                self.check(&digest)?;
                let ask = || async { self.read(registry.manifest(&digest).await?) };
                let (chosen, below) = patience().with(ask).await?;
                (Some(document), Some(chosen), below, digest)
            }
        };
        let (config, layers) = document.into_manifest(&digest)?;
        if layers.len() > MOST_LAYERS {
            let count = layers.len();
            return Err(Failure::Told(format!(
                "image {} has {count} layers, more than the {MOST_LAYERS} that can be used",
                self.image
            )));
        }
        for part in layers.iter().chain([&config]) {
            self.check(&part.digest)?;
        }
        Ok(Documents { top, index, chosen, config, layers })
    }

    /// A manifest as it came, and what it says.
    fn read(&self, fetched: Fetched) -> Result<(Fetched, Document), Failure> {
        match serde_json::from_slice(&fetched.bytes) {
            Ok(document) => Ok((fetched, document)),
            Err(bad) => Err(self.fetch.registry.subject().damaged("manifest", bad.to_string())),
        }
    }

    /// Digests become parts of addresses and names.
    fn check(&self, digest: &str) -> Result<(), Failure> {
        if is_digest(digest) {
            return Ok(());
        }
        let why = format!("{digest:?} in it is not a digest (sha256: and 64 hexadecimal digits)");
        Err(self.fetch.registry.subject().damaged("manifest", why))
    }

    /// Fetches the configuration, and sees that the image is one and runs here, before anything large comes.
    async fn check_config(&self, config: &Descriptor) -> Result<(), Failure> {
        let image = self.image;
        if !["", OCI_CONFIG, DOCKER_CONFIG].contains(&config.media_type.as_str()) {
            return Err(Failure::Told(format!(
                "{image} is not the image of a container but something else that registries keep ({})",
                config.media_type
            )));
        }
        if config.size > LARGEST_DOCUMENT {
            return Err(Failure::Told(format!("the configuration of image {image} is too large")));
        }
        self.fetch.blob(&self.blob(&config.digest, config.size)).await?;
        let bytes = content::read(self.fetch.scope, &config.digest).await?;
        let says: ImageConfig =
            manifest::parse(&format!("the configuration of image {image}"), &bytes)?;
        says.check(image)
    }

    fn blob(&self, digest: &str, size: u64) -> Blob {
        Blob { digest: digest.to_owned(), size, labels: self.comes_from() }
    }

    async fn keep(
        &self,
        fetched: &Fetched,
        mut labels: HashMap<String, String>,
    ) -> Result<(), Failure> {
        labels.extend(self.comes_from());
        let blob =
            Blob { digest: fetched.digest.clone(), size: fetched.bytes.len() as u64, labels };
        keep(self.fetch.scope, &blob, &fetched.bytes).await
    }

    /// The label by which containerd's clients know from where a blob can be had again.
    fn comes_from(&self) -> HashMap<String, String> {
        let Reference { host, repository, .. } = self.reference;
        [(format!("containerd.io/distribution.source.{host}"), repository.clone())].into()
    }
}

/// Whether another registry may do better.
fn is_of_registry(failure: &Failure) -> bool {
    let others =
        matches!(failure, Failure::Pull(PullError::Missing { .. } | PullError::Refused { .. }));
    others || may_pass(failure)
}
