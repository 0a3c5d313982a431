//! Leases: what is made under one is not collected as garbage until the lease ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use containerd_client::services::v1::{CreateRequest, DeleteRequest};
use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::Mutex as AsyncMutex;
use tracing::debug;

use crate::clock;
use crate::connection::{Scope, call};
use crate::error::Failure;

/// Outlives any pull or start; containerd ends the lease then if we cannot.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// A lease, and the scope of calls under it.
#[derive(Debug)]
pub(crate) struct Lease {
    id: String,
    inner: Scope,
    /// None once it has ended.
    outer: Option<Scope>,
}

impl Lease {
    /// Takes a lease. Its name begins with the scope's owner.
    pub(crate) async fn take(scope: &Scope) -> Result<Self, Failure> {
        let now = clock::stamp();
        let id = next_name(scope, now);
        let until = now.checked_add(LONGEST).unwrap_or(Timestamp::MAX);
        let labels = [("containerd.io/gc.expire".to_owned(), format!("{until:.0}"))].into();
        let request = CreateRequest { id: id.clone(), labels };
        // Held before it is there: when this is dropped half-way, it may be there.
        let lease = Self { inner: scope.under(&id), outer: Some(scope.clone()), id };
        call("take a lease", scope.leases().create(request)).await?;
        Ok(lease)
    }

    /// Calls under the lease.
    pub(crate) fn scope(&self) -> &Scope {
        &self.inner
    }

    /// Leaves it to run out by itself: what it holds is wanted by a later try.
    pub(crate) fn leave(mut self) {
        self.outer = None;
    }

    /// Ends the lease before this returns; what it alone held is collected soon.
    pub(crate) async fn end(mut self) {
        if let Some(outer) = self.outer.take() {
            end(outer, std::mem::take(&mut self.id)).await;
        }
    }
}

/// Leases that last as long as the backend is open, one for each namespace: file systems of replicas are made and
/// removed under them, so that a start need not take one. The next opening ends them, and with them goes what
/// a crash left between two steps of a start.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Two starts at once take one lease.
    taking: AsyncMutex<()>,
    /// By namespace.
    taken: Mutex<HashMap<String, Taken>>,
}

#[derive(Debug)]
struct Taken {
    id: String,
    inner: Scope,
    outer: Scope,
}

impl Standing {
    /// Calls about the namespace of `scope` under its lease, which is taken if it is not yet.
    pub(crate) async fn under(&self, scope: &Scope) -> Result<Scope, Failure> {
        if let Some(inner) = self.known(scope) {
            return Ok(inner);
        }
        let _taking = self.taking.lock().await;
        if let Some(inner) = self.known(scope) {
            return Ok(inner);
        }
        let id = next_name(scope, clock::stamp());
        let request = CreateRequest { id: id.clone(), labels: HashMap::new() };
        call("take a lease", scope.leases().create(request)).await?;
        let inner = scope.under(&id);
        let taken = Taken { id, inner: inner.clone(), outer: scope.clone() };
        self.lock().insert(scope.namespace().to_owned(), taken);
        Ok(inner)
    }

    fn known(&self, scope: &Scope) -> Option<Scope> {
        self.lock().get(scope.namespace()).map(|taken| taken.inner.clone())
    }

    /// Ends them all. Containers that go on keep their file systems by themselves.
    pub(crate) async fn end(&self) {
        let all: Vec<Taken> = self.lock().drain().map(|(_, taken)| taken).collect();
        for taken in all {
            end(taken.outer, taken.id).await;
        }
    }

    /// It may be gone: the next caller takes another one.
    pub(crate) fn doubt(&self, namespace: &str) {
        self.lock().remove(namespace);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names begin with the scope's owner, so that an opening knows those of earlier runs.
fn next_name(scope: &Scope, now: Timestamp) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{}-{number}", scope.owner(), now.as_nanosecond())
}

/// Ends it in the background, whoever went away and wherever he was.
impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(outer) = self.outer.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(end(outer, std::mem::take(&mut self.id)));
        }
    }
}

async fn end(scope: Scope, id: String) {
    let request = DeleteRequest { id: id.clone(), sync: false };
    if let Err(failure) = call("end a lease", scope.leases().delete(request)).await {
        debug!(lease = %id, "a lease is left to a later opening, or to run out: {failure}");
    }
}
