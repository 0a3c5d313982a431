//! Leases: what is made under one is not collected as garbage until the lease ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use containerd_client::services::v1::{CreateRequest, DeleteRequest};
use jiff::Timestamp;
use tracing::debug;

use crate::clock;
use crate::connection::{Scope, call};
use crate::error::Failure;

/// Outlives any pull or start; containerd ends the lease then if we cannot.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// A lease, and the scope of calls under it. Ends with [`Lease::end`]; when forgotten, by itself after an hour.
#[derive(Debug)]
pub(crate) struct Lease {
    id: String,
    outer: Scope,
    inner: Scope,
}

impl Lease {
    /// Takes a lease.
    pub(crate) async fn take(scope: &Scope) -> Result<Self, Failure> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let now = clock::stamp();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Unique over processes too: a number of ours, and the moment.
        let id = format!("tidegate-{}-{}-{number}", std::process::id(), now.as_nanosecond());
        let until = now.checked_add(LONGEST).unwrap_or(Timestamp::MAX);
        let labels = [("containerd.io/gc.expire".to_owned(), format!("{until:.0}"))].into();
        let request = CreateRequest { id: id.clone(), labels };
        call("take a lease", scope.leases().create(request)).await?;
        Ok(Self { inner: scope.under(&id), outer: scope.clone(), id })
    }

    /// Calls under the lease.
    pub(crate) fn scope(&self) -> &Scope {
        &self.inner
    }

    /// Ends the lease; what it alone held is collected soon.
    pub(crate) async fn end(self) {
        let request = DeleteRequest { id: self.id.clone(), sync: false };
        if let Err(failure) = call("end a lease", self.outer.leases().delete(request)).await {
            debug!(lease = %self.id, "a lease is left to run out: {failure}");
        }
    }
}
