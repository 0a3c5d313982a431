//! The images of functions: found in the function's own namespace or lent from another, unpacked once, and
//! kept by their digest, so that all replicas of a revision run the same bytes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use containerd_client::types::Descriptor as Target;
use tidegate_core::annotations::PULL_POLICY;
use tidegate_provider::Pairs;
use tokio::sync::Mutex as AsyncMutex;
use tracing::warn;

use crate::connection::{Connection, Scope};
use crate::error::Failure;
use crate::image::{self, Image};
use crate::pull::{self, PullError, PullPolicy, Puller, Registries, plainly};
use crate::reference::Reference;

/// Namespace, and the pinned name.
type Key = (String, String);

/// Images that are known to be there and unpacked.
#[derive(Debug)]
pub(crate) struct Images {
    connection: Connection,
    snapshotter: String,
    known: Mutex<HashMap<Key, Arc<Image>>>,
    puller: Puller,
    /// Two deployments of one image unpack it once.
    opening: AsyncMutex<()>,
}

impl Images {
    pub(crate) fn new(connection: Connection, snapshotter: String, registries: Registries) -> Self {
        Self {
            connection,
            snapshotter,
            known: Mutex::default(),
            puller: Puller::new(registries),
            opening: AsyncMutex::default(),
        }
    }

    /// When a function's image is asked for at its registry.
    pub(crate) fn policy(&self, annotations: &Pairs) -> Result<PullPolicy, Failure> {
        let Some(written) = annotations.get(PULL_POLICY) else {
            return Ok(self.puller.policy());
        };
        let told = |bad| Failure::Told(format!("annotation {}: {bad}", PULL_POLICY));
        written.parse().map_err(told)
    }

    /// Finds what a user wrote in `namespace` or one of `others`, or at its registry as the policy says, makes
    /// it ready, and returns the name by which [`Images::get`] finds the same bytes for ever.
    pub(crate) async fn resolve(
        &self,
        written: &str,
        policy: PullPolicy,
        namespace: &str,
        others: &[String],
    ) -> Result<String, Failure> {
        let reference = Reference::parse(written)?;
        let name = reference.to_string();
        let scope = self.connection.within(namespace);
        // Slow, and so not while others who only open an image wait.
        let target = self.find(&scope, &reference, policy, others).await?;
        let _opening = self.opening.lock().await;
        let pinned = pinned(&reference, &target.digest);
        let new = pinned != name && image::name(&scope, &pinned, target.clone()).await?;
        let image = match image::open(&scope, &self.snapshotter, &pinned, &target).await {
            Ok(image) => image,
            Err(failure) => {
                if new && let Err(left) = image::forget(&scope, &pinned).await {
                    warn!(image = pinned, "a name is left that nobody uses: {left}");
                }
                return Err(plainly(failure));
            }
        };
        self.lock().insert((namespace.to_owned(), pinned.clone()), Arc::new(image));
        Ok(pinned)
    }

    async fn find(
        &self,
        scope: &Scope,
        reference: &Reference,
        policy: PullPolicy,
        others: &[String],
    ) -> Result<Target, Failure> {
        let name = reference.to_string();
        let here = image::find(scope, &name).await?;
        match (policy, here) {
            (PullPolicy::Always, here) => {
                self.puller.newest(scope, reference, here.as_ref(), &pull::log).await
            }
            (_, Some(target)) => Ok(target),
            (_, None) => match (self.lend(scope, &name, others).await?, policy) {
                (Some(target), _) => Ok(target),
                (None, PullPolicy::Never) => {
                    Err(Failure::Pull(PullError::Forbidden { image: name }))
                }
                (None, _) => self.puller.newest(scope, reference, None, &pull::log).await,
            },
        }
    }

    async fn lend(
        &self,
        scope: &Scope,
        name: &str,
        others: &[String],
    ) -> Result<Option<Target>, Failure> {
        for other in others.iter().filter(|other| *other != scope.namespace()) {
            let other = self.connection.within(other);
            if let Some(target) = image::find(&other, name).await? {
                image::lend(&other, scope, name, &target).await?;
                return Ok(Some(target));
            }
        }
        Ok(None)
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
            Failure::Told(format!("image {pinned} is not on this machine any more; bring it back with `tidegate image pull {pinned}` or `tidegate image import FILE.tar`"))
        })?;
        let image = Arc::new(image::open(&scope, &self.snapshotter, pinned, &target).await?);
        self.lock().insert(key, image.clone());
        Ok(image)
    }

    /// Does something about images while none is being named or unpacked. What is known of them is then
    /// looked up anew.
    pub(crate) async fn undisturbed<T>(&self, work: impl Future<Output = T>) -> T {
        let _opening = self.opening.lock().await;
        let done = work.await;
        self.lock().clear();
        done
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
