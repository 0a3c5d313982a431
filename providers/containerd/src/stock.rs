//! The images on this machine: who uses them, and which of them go.
//!
//! Only what tidegate brought or named itself ever goes ([`image::BROUGHT`]), and only when no revision of a
//! function that is kept and no container has used it for a while; since when is written on the image.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use containerd_client::services::v1::{Container, Image as Record};
use jiff::Timestamp;
use tidegate_provider_machine::FunctionRecord;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::connection::{Connection, Scope};
use crate::error::Failure;
use crate::ground::{BY_PROCESS, Ground};
use crate::namespaces::Namespaces;
use crate::reference::Reference;
use crate::replica::FUNCTION;
use crate::runtime::RECORD;
use crate::{Config, clock, containers, image};

/// Since when nobody has used an image.
const UNUSED_SINCE: &str = "tidegate/unused-since";
/// Longest pause between two looks at what is used.
const LOOK: Duration = Duration::from_secs(10 * 60);
/// What was named so lately may be of a deployment that is under way.
const YOUNG: Duration = Duration::from_secs(60);

/// An image on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredImage {
    /// containerd's namespace that it is in.
    pub namespace: String,
    /// Its full name.
    pub name: String,
    /// What the name stands for.
    pub digest: String,
    /// Bytes of its layers as they came; none when it is not for this machine or not whole.
    pub size: Option<u64>,
    /// Functions and containers that use it.
    pub used_by: Vec<String>,
    /// Whether tidegate brought it; others are never removed.
    pub ours: bool,
    /// Since when nobody uses it, as far as that was noticed.
    pub unused_since: Option<SystemTime>,
}

/// All images in the namespaces of functions.
///
/// # Errors
/// When containerd cannot be reached.
pub async fn list_images(config: &Config) -> Result<Vec<StoredImage>, Failure> {
    let mut all = Vec::new();
    for scope in scopes(config).await? {
        for known in look(&scope).await? {
            all.push(known.told(&scope).await);
        }
    }
    Ok(all)
}

/// Removes what tidegate brought and nobody uses, but for what came or was named within `younger`; returns
/// what went, or would go when it is only `tried`.
///
/// # Errors
/// When containerd cannot be reached.
pub async fn prune_images(
    config: &Config,
    younger: Duration,
    tried: bool,
) -> Result<Vec<StoredImage>, Failure> {
    let mut gone = Vec::new();
    for scope in scopes(config).await? {
        let known = look(&scope).await?;
        let young = young(&known, younger);
        for image in known.iter().filter(|it| it.may_go() && !young.contains(&it.digest)) {
            gone.push(image.told(&scope).await);
            if !tried {
                image::forget(&scope, &image.name).await?;
            }
        }
    }
    Ok(gone)
}

/// Namespaces of functions.
async fn scopes(config: &Config) -> Result<Vec<Scope>, Failure> {
    let connection =
        Connection::new(&config.socket, &format!("{BY_PROCESS}{}", std::process::id()));
    connection.version().await?;
    let prefix = config.namespace_prefix.clone();
    let namespaces = Namespaces::new(connection, prefix, String::new());
    let all = namespaces.list().await?;
    Ok(all.iter().map(|namespace| namespaces.scope(&namespace.name)).collect())
}

/// Looks now and then for images that nobody has used for `retention`, until told to end.
pub(crate) async fn tend(ground: Weak<Ground>, retention: Duration, end: CancellationToken) {
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(retention.min(LOOK)) => {}
        }
        let Some(ground) = ground.upgrade() else { return };
        if let Err(failure) = tend_once(&ground, retention).await {
            debug!("images that nobody uses stay for now: {failure}");
        }
    }
}

async fn tend_once(ground: &Arc<Ground>, retention: Duration) -> Result<(), Failure> {
    for namespace in ground.namespaces.list().await? {
        let scope = ground.namespaces.scope(&namespace.name);
        ground.images.undisturbed(sweep(&scope, retention)).await?;
    }
    Ok(())
}

/// One look at a namespace: notes since when images are unused, and removes those that are so for long.
async fn sweep(scope: &Scope, retention: Duration) -> Result<(), Failure> {
    let now = clock::stamp();
    let known = look(scope).await?;
    let young = young(&known, retention.min(YOUNG));
    for image in known.iter().filter(|image| image.ours) {
        match image.unused_since {
            Some(_) if !image.used_by.is_empty() => {
                image::label(scope, &image.name, UNUSED_SINCE, "").await?;
            }
            None if image.used_by.is_empty() => {
                image::label(scope, &image.name, UNUSED_SINCE, &now.to_string()).await?;
            }
            Some(since) if image.may_go() => {
                let long = now.duration_since(since).unsigned_abs() >= retention;
                if long && !young.contains(&image.digest) {
                    info!(
                        image = image.name,
                        namespace = scope.namespace(),
                        "nobody has used an image for long; it goes"
                    );
                    image::forget(scope, &image.name).await?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// An image, and what is known of its use.
struct Known {
    name: String,
    digest: String,
    used_by: BTreeSet<String>,
    ours: bool,
    unused_since: Option<Timestamp>,
    named: Option<Timestamp>,
}

impl Known {
    fn may_go(&self) -> bool {
        self.ours && self.used_by.is_empty()
    }

    async fn told(&self, scope: &Scope) -> StoredImage {
        let parts = image::parts(scope, &self.name, &self.digest).await.ok();
        let size = parts.map(|parts| {
            let all = parts.layers.iter().chain([&parts.config]);
            all.fold(0_u64, |sum, part| sum.saturating_add(part.size))
        });
        StoredImage {
            namespace: scope.namespace().to_owned(),
            name: self.name.clone(),
            digest: self.digest.clone(),
            size,
            used_by: self.used_by.iter().cloned().collect(),
            ours: self.ours,
            unused_since: self.unused_since.map(SystemTime::from),
        }
    }
}

/// All images of a namespace with who uses them.
async fn look(scope: &Scope) -> Result<Vec<Known>, Failure> {
    // First, so that an image of a function which is just being recorded is seen without it, but young.
    let images = image::records(scope).await?;
    let mut uses = Vec::new();
    for container in containers::all(scope).await? {
        uses.push(Use::of(&container)?);
    }
    Ok(images.into_iter().map(|record| known(record, &uses)).collect())
}

fn known(record: Record, uses: &[Use]) -> Known {
    let digest = record.target.map(|target| target.digest).unwrap_or_default();
    let used = |it: &&Use| it.names.iter().any(|name| *name == record.name || pins(name, &digest));
    let stamp = |name: &str| record.labels.get(name).and_then(|text| text.parse().ok());
    Known {
        used_by: uses.iter().filter(used).map(|it| it.who.clone()).collect(),
        ours: record.labels.get(image::BROUGHT).is_some_and(|it| !it.is_empty()),
        unused_since: stamp(UNUSED_SINCE),
        named: record.updated_at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok()),
        name: record.name,
        digest,
    }
}

/// Whether a name stands for these bytes for ever.
fn pins(name: &str, digest: &str) -> bool {
    name.split_once('@').is_some_and(|(_, pinned)| pinned == digest)
}

/// What was named within `younger`, under whatever name.
fn young(known: &[Known], younger: Duration) -> HashSet<String> {
    let now = clock::stamp();
    let is_young = |it: &&Known| {
        it.named.is_some_and(|named| now.duration_since(named).unsigned_abs() < younger)
    };
    known.iter().filter(is_young).map(|it| it.digest.clone()).collect()
}

/// Who uses which images.
#[derive(Debug, PartialEq, Eq)]
struct Use {
    who: String,
    /// Full names, with a digest or without.
    names: Vec<String>,
}

impl Use {
    /// A record of a function that cannot be read is a failure: what it uses is not known.
    fn of(container: &Container) -> Result<Self, Failure> {
        let Some(kept) = container.extensions.get(RECORD) else {
            let function = container.labels.get(FUNCTION).cloned();
            let who = function.unwrap_or_else(|| format!("container {}", container.id));
            return Ok(Self { who, names: vec![container.image.clone()] });
        };
        let damaged =
            |why: String| Failure::Told(format!("container {} is damaged: {why}", container.id));
        let record = FunctionRecord::from_json(&kept.value).map_err(damaged)?;
        let who = record.function().map_err(|bad| damaged(bad.to_string()))?.to_string();
        let mut names = Vec::new();
        for revision in record.revisions() {
            names.extend(revision.pin.map(str::to_owned));
            names.extend(Reference::parse(revision.image).ok().map(|it| it.to_string()));
        }
        Ok(Self { who, names })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, digest: &str, labels: &[(&str, &str)]) -> Record {
        let target = containerd_client::types::Descriptor {
            digest: digest.to_owned(),
            ..containerd_client::types::Descriptor::default()
        };
        let label = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        Record {
            name: name.to_owned(),
            target: Some(target),
            labels: labels.iter().map(label).collect(),
            ..Record::default()
        }
    }

    #[test]
    fn an_image_is_used_by_its_name_or_its_digest() {
        let one = Use { who: "f".to_owned(), names: vec!["h/a@sha256:1".to_owned()] };
        let two = Use { who: "g".to_owned(), names: vec!["h/b:2".to_owned()] };
        let uses = [one, two];
        let users = |name, digest| known(record(name, digest, &[]), &uses).used_by;
        assert_eq!(users("h/a:1", "sha256:1"), ["f".to_owned()].into());
        assert_eq!(users("h/b:2", "sha256:9"), ["g".to_owned()].into());
        assert_eq!(users("h/a:1", "sha256:11"), BTreeSet::new(), "its tag has moved");
    }

    #[test]
    fn only_ours_may_go() {
        let ours = known(record("h/a:1", "sha256:1", &[(image::BROUGHT, "1")]), &[]);
        let others = known(record("h/a:1", "sha256:1", &[]), &[]);
        assert!(ours.may_go() && !others.may_go());
    }
}
