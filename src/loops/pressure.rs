//! Watches memory: what the machine has available, how much it waits for it, and what replicas at rest take. What
//! follows from that is judged, and done, by the scale loop.
//!
//! ```text
//! /proc ─────────► reading ──┐
//! Provider::usage ─► sizes ──┴─► scale loop ─► Pressure::judge ─► evict ─► Ask::Evict, for each that goes
//! ```

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tidegate_core::FunctionId;
use tidegate_gateway::{Entry, Table};
use tidegate_idler::{Limits, Reading};
use tidegate_provider::{Phase, Provider};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::kernel::Proc;
use crate::loops::scale::Request;

/// How often memory is looked at.
const EVERY: Duration = Duration::from_secs(3);
/// Functions whose replicas are asked about at the same time.
const AT_ONCE: usize = 8;

/// Who watches memory.
pub struct Watching {
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) table: Arc<Table>,
    pub(crate) limits: Limits,
    pub(crate) proc: Proc,
    /// The receiver is the scale loop.
    pub(crate) scale: mpsc::Sender<Request>,
}

/// A function at rest: at zero, with replicas that are frozen or created.
type Resting = (FunctionId, Phase);

impl Watching {
    /// Watches for good; returns at once when there is no limit.
    pub async fn run(self) {
        if self.limits == Limits::default() {
            return;
        }
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known = HashMap::new();
        loop {
            ticks.tick().await;
            let mut reading = Reading {
                rest: 0,
                available: self.limits.available.and_then(|_| self.proc.available()),
                stalled: self.limits.stalled.and_then(|_| self.proc.stalled()),
            };
            // Thousands at rest are not asked about while there is enough.
            let sizes = if self.limits.is_near(&reading) {
                self.sizes(&mut known).await
            } else {
                Vec::new()
            };
            reading.rest = sizes.iter().map(|(_, bytes)| bytes).sum();
            // Without a scale loop nobody needs it.
            let _ = self.scale.send(Request::Memory { reading, sizes }).await;
        }
    }

    /// What replicas at rest take, by function. That does not change while they rest: each is asked about once.
    async fn sizes(&self, known: &mut HashMap<Resting, u64>) -> Vec<(FunctionId, u64)> {
        let mut resting = HashSet::new();
        self.table.for_each(|entry| resting.extend(at_rest(entry)));
        known.retain(|function, _| resting.contains(function));
        resting.retain(|function| !known.contains_key(function));
        let ask = |resting: Resting| {
            let provider = Arc::clone(&self.provider);
            async move { (provider.usage(&resting.0).await, resting) }
        };
        let mut asked = stream::iter(resting.into_iter().map(ask)).buffer_unordered(AT_ONCE);
        while let Some((used, resting)) = asked.next().await {
            // One that cannot be asked is asked again.
            if let Ok(used) = used {
                known.insert(resting, used.iter().map(|replica| replica.memory_bytes).sum());
            }
        }
        let mut sizes: Vec<(FunctionId, u64)> =
            known.iter().map(|((function, _), bytes)| (function.clone(), *bytes)).collect();
        sizes.sort();
        sizes
    }
}

fn at_rest(entry: &Entry) -> Option<Resting> {
    if !entry.desired().is_zero() {
        return None;
    }
    let status = entry.status();
    let in_phase = |phase: &Phase| !status.count(*phase).is_zero();
    let phase = [Phase::Frozen, Phase::Created].into_iter().find(in_phase)?;
    Some((entry.id().clone(), phase))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tidegate_core::Replicas;
    use tidegate_gateway::{Clock, Config};
    use tidegate_provider::fake::{ECHO, FakeProvider};
    use tidegate_provider::{Deployment, Depth, Pairs, ScaleTo};

    use super::*;

    fn deployment() -> Deployment {
        Deployment {
            function: FunctionId::new("cat", "openfaas-fn").expect("a good name"),
            image: "example/cat:1".to_owned(),
            process: ECHO.to_owned(),
            env: Pairs::default(),
            secrets: Vec::new(),
            labels: Pairs::default(),
            annotations: Pairs::default(),
            constraints: Vec::new(),
            limits: None,
            requests: None,
            read_only_root: false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_rests_is_asked_about_only_when_it_is_of_interest() {
        let folder = tempfile::tempdir().expect("a folder");
        let available = |mebibytes: u64| {
            let text = format!("MemTotal: 1048576 kB\nMemAvailable: {} kB\n", mebibytes << 10);
            fs::write(folder.path().join("meminfo"), text).expect("a file");
        };
        available(900);
        let provider = Arc::new(FakeProvider::default());
        let (table, _nudges) = Table::new(&Config::default(), Clock::new());
        let deployment = deployment();
        let function = deployment.function.clone();
        provider.deploy(deployment, Replicas::ONE).await.expect("good");
        let frozen = ScaleTo { depth: Depth::Frozen, ..ScaleTo::replicas(0) };
        provider.scale(&function, frozen).await.expect("deployed");
        table.upsert(&provider.get(&function).await.expect("deployed"));
        let (scale, mut told) = mpsc::channel(1);
        let limits =
            Limits { available: Some(512 << 20), stalled: Some(1000), ..Limits::default() };
        let proc = Proc::at(folder.path());
        let watching = Watching { provider, table, limits, proc, scale };
        let running = tokio::spawn(watching.run());
        let mut next = async || match told.recv().await {
            Some(Request::Memory { reading, sizes }) => (reading, sizes),
            _ => panic!("nothing else is told"),
        };
        let (reading, sizes) = next().await;
        assert_eq!((reading.rest, reading.available, sizes.len()), (0, Some(900 << 20), 0));
        // Without the file of pressure that is not known, and no harm.
        assert_eq!(reading.stalled, None);
        available(100);
        let mut seen = next().await;
        while seen.0.available == Some(900 << 20) {
            seen = next().await;
        }
        assert_eq!(seen.1, [(function, 1 << 20)]);
        assert_eq!((seen.0.rest, seen.0.available), (1 << 20, Some(100 << 20)));
        running.abort();
    }
}
