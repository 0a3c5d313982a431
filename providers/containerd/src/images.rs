//! The images of functions: found in the function's own namespace or lent from another, unpacked once, and
//! kept by their digest, so that all replicas of a revision run the same bytes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Mutex as AsyncMutex;

use crate::connection::{Connection, Scope};
use crate::error::Failure;
use crate::image::{self, Image};
use crate::reference::Reference;

/// Namespace, and the pinned name.
type Key = (String, String);

/// Images that are known to be there and unpacked.
#[derive(Debug)]
pub(crate) struct Images {
    connection: Connection,
    snapshotter: String,
    known: Mutex<HashMap<Key, Arc<Image>>>,
    /// Two deployments of one image unpack it once.
    opening: AsyncMutex<()>,
}

impl Images {
    pub(crate) fn new(connection: Connection, snapshotter: String) -> Self {
        Self { connection, snapshotter, known: Mutex::default(), opening: AsyncMutex::default() }
    }

    /// Finds what a user wrote in `namespace` or one of `others`, makes it ready, and returns the name by
    /// which [`Images::get`] finds the same bytes for ever.
    pub(crate) async fn resolve(
        &self,
        written: &str,
        namespace: &str,
        others: &[String],
    ) -> Result<String, Failure> {
        let reference = Reference::parse(written)?;
        let name = reference.to_string();
        let scope = self.connection.within(namespace);
        let _opening = self.opening.lock().await;
        let target = match image::find(&scope, &name).await? {
            Some(target) => target,
            None => self.lend(&scope, &name, others).await?,
        };
        let pinned = pinned(&reference, &target.digest);
        if pinned != name {
            image::name(&scope, &pinned, target.clone()).await?;
        }
        let image = image::open(&scope, &self.snapshotter, &pinned, &target).await?;
        self.lock().insert((namespace.to_owned(), pinned.clone()), Arc::new(image));
        Ok(pinned)
    }

    async fn lend(
        &self,
        scope: &Scope,
        name: &str,
        others: &[String],
    ) -> Result<containerd_client::types::Descriptor, Failure> {
        for other in others.iter().filter(|other| *other != scope.namespace()) {
            let other = self.connection.within(other);
            if let Some(target) = image::find(&other, name).await? {
                image::lend(&other, scope, name, &target).await?;
                return Ok(target);
            }
        }
        Err(Failure::Told(format!(
            "image {name} is not on this machine; bring it here with `tidegate image import FILE.tar`"
        )))
    }

    /// An image by the name that [`Images::resolve`] returned.
    pub(crate) async fn get(&self, namespace: &str, pinned: &str) -> Result<Arc<Image>, Failure> {
        let key = (namespace.to_owned(), pinned.to_owned());
        if let Some(image) = self.lock().get(&key) {
            return Ok(image.clone());
        }
        let scope = self.connection.within(namespace);
        let _opening = self.opening.lock().await;
        let target = image::find(&scope, pinned).await?.ok_or_else(|| {
            Failure::Told(format!("image {pinned} is not on this machine any more; bring it back with `tidegate image import FILE.tar`"))
        })?;
        let image = Arc::new(image::open(&scope, &self.snapshotter, pinned, &target).await?);
        self.lock().insert(key, image.clone());
        Ok(image)
    }

    /// Forgets what is known of an image: it may be gone.
    pub(crate) fn doubt(&self, namespace: &str, pinned: &str) {
        self.lock().remove(&(namespace.to_owned(), pinned.to_owned()));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Image>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of the same bytes for ever: tags move.
fn pinned(reference: &Reference, digest: &str) -> String {
    let Reference { host, repository, .. } = reference;
    format!("{host}/{repository}@{digest}")
}
