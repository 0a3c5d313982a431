//! Leases: what is made under one is not collected as garbage until the lease ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use containerd_client::services::v1::{CreateRequest, DeleteRequest};
use jiff::Timestamp;
use tokio::runtime::Handle;
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
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let now = clock::stamp();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}-{}-{number}", scope.owner(), now.as_nanosecond());
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
