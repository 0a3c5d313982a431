//! What the provider reports becomes the set of replicas that get calls.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock};

use arc_swap::ArcSwap;
use tidegate_core::Policy;
use tidegate_provider::{Deployment, FunctionStatus, Phase};

use super::{Entry, Known, Serving, Shared, Writer};
use crate::gate::{Flag, Gate};
use crate::limits::{Limiter, Limits};
use crate::meter::Meter;
use crate::outcomes::Outcomes;
use crate::replica::Handle;
use crate::room::{Room, hand_over};

use super::slots::Handed;

/// The environment variable by which a function says how many calls one replica takes at once.
const MAX_INFLIGHT: &str = "max_inflight";

impl Entry {
    /// The entry of a function seen for the first time.
    pub(crate) fn new(shared: Arc<Shared>, status: &FunctionStatus) -> Arc<Self> {
        let known = Known { status: Arc::new(status.clone()), policy: policy(&status.deployment) };
        let mut writer = Writer::default();
        writer.read(&status.deployment, &shared);
        let entry = Arc::new(Self {
            id: status.function().clone(),
            serving: ArcSwap::default(),
            known: ArcSwap::from_pointee(known),
            meter: Meter::new(shared.shards),
            gate: Gate::new(),
            room: Room::default(),
            outcomes: Outcomes::default(),
            waits: OnceLock::new(),
            desired: AtomicU32::new(status.desired.get()),
            nudge_above: AtomicU64::new(u64::MAX),
            nudged: Flag::new(),
            quiet: AtomicBool::new(true),
            limited: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            writer: Mutex::new(writer),
            shared,
        });
        entry.follow(status);
        entry.reset_nudge_above(0);
        entry
    }

    /// Takes in what the provider reports now.
    pub(crate) fn update(self: &Arc<Self>, status: &FunctionStatus) {
        let changed = {
            let known = self.known.load();
            // The same deployment comes again with every change of a replica.
            let changed = !Arc::ptr_eq(&known.status.deployment, &status.deployment)
                && known.status.deployment != status.deployment;
            let policy =
                if changed { policy(&status.deployment) } else { Arc::clone(&known.policy) };
            self.known.store(Arc::new(Known { status: Arc::new(status.clone()), policy }));
            changed
        };
        if changed {
            self.write().read(&status.deployment, &self.shared);
            self.reset_nudge_above(0);
        }
        self.follow(status);
        self.dispatch();
    }

    /// The function is gone: nobody gets calls, and whoever waits is told; so is the scale loop.
    pub(crate) fn close(self: &Arc<Self>) {
        {
            let mut writer = self.write();
            for handle in writer.handles.drain(..) {
                handle.pool.clear();
            }
            self.publish(&writer);
        }
        hand_over(self.room.serve(|| Some(Handed::Removed)));
        self.nudge();
    }

    fn follow(&self, status: &FunctionStatus) {
        let mut writer = self.write();
        let mut old = std::mem::take(&mut writer.handles);
        for replica in &status.replicas {
            let Some(address) = &replica.address else { continue };
            let known = old.iter().position(|handle| handle.is(replica));
            let handle = known.map_or_else(
                || Arc::new(Handle::new(&replica.id, address, &self.shared.pool)),
                |at| old.swap_remove(at),
            );
            handle.follow(replica.phase);
            writer.handles.push(handle);
        }
        for gone in old {
            gone.pool.clear();
        }
        if self.gate.is_closed() {
            writer.fresh = true;
        } else {
            writer.void = false;
        }
        self.publish(&writer);
    }

    /// Makes what the writer holds what calls read.
    pub(super) fn publish(&self, writer: &Writer) {
        let open = if writer.void { Vec::new() } else { self.open_handles(writer) };
        self.serving.store(Arc::new(Serving {
            open: open.into(),
            limit: writer.limit,
            limiter: writer.limiter.clone(),
        }));
    }

    pub(super) fn open_handles(&self, writer: &Writer) -> Vec<Arc<Handle>> {
        let known = self.known.load();
        let replicas = &known.status.replicas;
        let ready = |handle: &&Arc<Handle>| {
            let phase = replicas.iter().find(|one| handle.is(one)).map(|one| one.phase);
            phase == Some(Phase::Ready) && !handle.is_draining()
        };
        writer.handles.iter().filter(ready).cloned().collect()
    }
}

impl Writer {
    /// Reads what the deployment says about limits.
    fn read(&mut self, deployment: &Deployment, shared: &Shared) {
        self.limit = max_inflight(deployment);
        let limits =
            Limits::from_annotations(&deployment.annotations.to_map()).unwrap_or_else(|error| {
                // Refused at deploy time, so this one was deployed by other means.
                tracing::warn!(function = %deployment.function, %error, "rate limits are not kept");
                Limits::default()
            });
        self.limiter = Limiter::new(&limits, &shared.clock).map(Arc::new);
    }
}

fn max_inflight(deployment: &Deployment) -> Option<u32> {
    deployment.env.get(MAX_INFLIGHT)?.trim().parse().ok().filter(|limit| *limit > 0)
}

fn policy(deployment: &Deployment) -> Arc<Policy> {
    match Policy::from_labels(&deployment.labels.to_map()) {
        Ok((policy, _)) => Arc::new(policy),
        Err(bad) => {
            for error in bad {
                tracing::warn!(function = %deployment.function, %error, "the default policy is used");
            }
            Arc::default()
        }
    }
}
