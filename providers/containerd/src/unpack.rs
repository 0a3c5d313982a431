//! Unpacking: an image's layers, bottom up, into snapshots that containers start from.

use std::sync::atomic::{AtomicU64, Ordering};

use containerd_client::services::v1::ApplyRequest;
use containerd_client::services::v1::snapshots::{
    CommitSnapshotRequest, PrepareSnapshotRequest, RemoveSnapshotRequest, StatSnapshotRequest,
};
use containerd_client::types::{Descriptor as Target, Mount};

use crate::clock;
use crate::connection::{Scope, call, within};
use crate::content;
use crate::digest;
use crate::error::{Failure, or_absent};
use crate::image::Parts;
use crate::manifest::Descriptor;

/// Longest that one layer may take: some have gigabytes.
const LONGEST_LAYER: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// Whether a snapshot is there.
pub(crate) async fn is_there(scope: &Scope, snapshotter: &str, key: &str) -> Result<bool, Failure> {
    let request = StatSnapshotRequest { snapshotter: snapshotter.to_owned(), key: key.to_owned() };
    match call("look for a snapshot", scope.snapshots().stat(request)).await {
        Ok(_) => Ok(true),
        Err(failure) if failure.is_not_found() => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Unpacks all layers that are not unpacked yet. `scope` is under a lease.
pub(crate) async fn unpack(scope: &Scope, snapshotter: &str, parts: &Parts) -> Result<(), Failure> {
    let diff_ids = &parts.says.rootfs.diff_ids;
    let chain = digest::chain(diff_ids);
    let mut below = String::new();
    for ((layer, diff_id), name) in parts.layers.iter().zip(diff_ids).zip(&chain) {
        if !is_there(scope, snapshotter, name).await? {
            let step = Step { scope, snapshotter, below: &below, name };
            step.unpack(layer, diff_id).await?;
        }
        let labels = [("containerd.io/uncompressed".to_owned(), diff_id.clone())].into();
        content::label(scope, &layer.digest, labels).await?;
        below.clone_from(name);
    }
    // This keeps the snapshots as long as the image is.
    let label = format!("containerd.io/gc.ref.snapshot.{snapshotter}");
    content::label(scope, &parts.config.digest, [(label, below)].into()).await
}

/// One layer.
struct Step<'a> {
    scope: &'a Scope,
    snapshotter: &'a str,
    below: &'a str,
    name: &'a str,
}

impl Step<'_> {
    async fn unpack(&self, layer: &Descriptor, diff_id: &str) -> Result<(), Failure> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let since = clock::since_epoch().as_nanos();
        let key = format!("extract-{}-{since}-{number} {}", std::process::id(), self.name);
        let Some(mounts) = self.prepare(&key).await? else { return Ok(()) };
        let done = match self.apply(layer, diff_id, mounts).await {
            Ok(()) => self.commit(&key).await,
            failed => failed,
        };
        match done {
            Ok(()) => Ok(()),
            failed => {
                let remove =
                    RemoveSnapshotRequest { snapshotter: self.snapshotter.to_owned(), key };
                or_absent(
                    call("remove a half-unpacked layer", self.scope.snapshots().remove(remove))
                        .await,
                )?;
                // Somebody else finished first.
                failed.or_else(
                    |failure| if failure.is_there_already() { Ok(()) } else { Err(failure) },
                )
            }
        }
    }

    /// A place to unpack to; none when somebody else has finished.
    async fn prepare(&self, key: &str) -> Result<Option<Vec<Mount>>, Failure> {
        let request = PrepareSnapshotRequest {
            snapshotter: self.snapshotter.to_owned(),
            key: key.to_owned(),
            parent: self.below.to_owned(),
            labels: [("containerd.io/snapshot.ref".to_owned(), self.name.to_owned())].into(),
        };
        match call("prepare a layer", self.scope.snapshots().prepare(request)).await {
            Ok(prepared) => Ok(Some(prepared.mounts)),
            Err(failure) if failure.is_there_already() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn apply(
        &self,
        layer: &Descriptor,
        diff_id: &str,
        mounts: Vec<Mount>,
    ) -> Result<(), Failure> {
        let diff = Target {
            media_type: layer.media_type.clone(),
            digest: layer.digest.clone(),
            size: layer.size.cast_signed(),
            annotations: [].into(),
        };
        let request = ApplyRequest { diff: Some(diff), mounts, ..ApplyRequest::default() };
        let applied =
            within(LONGEST_LAYER, "unpack a layer", self.scope.diff().apply(request)).await?;
        let found = applied.applied.unwrap_or_default().digest;
        if found == diff_id {
            return Ok(());
        }
        Err(Failure::Told(format!(
            "layer {} is not what its image says: unpacked it is {found}, not {diff_id}",
            layer.digest
        )))
    }

    async fn commit(&self, key: &str) -> Result<(), Failure> {
        let request = CommitSnapshotRequest {
            snapshotter: self.snapshotter.to_owned(),
            name: self.name.to_owned(),
            key: key.to_owned(),
            labels: [].into(),
        };
        call("keep an unpacked layer", self.scope.snapshots().commit(request)).await.map(drop)
    }
}
