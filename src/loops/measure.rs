//! Measures what the gateway's own counters do not tell: CPU and memory of replicas, percentiles of latency, and
//! the queries of named rules. Who wants what the scale loop says each time; it is told every value, and every
//! failure.
//!
//! ```text
//! Provider::usage, Entry::durations, Prometheus ──► values ──► scale loop
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt, join_all};
use futures_util::stream;
use tidegate_autoscaler::Source;
use tidegate_core::{FunctionId, Moment};
use tidegate_gateway::{Clock, Durations, Entry, Table};
use tidegate_provider::{Provider, ReplicaId, ReplicaUsage};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use crate::loops::scale::{Measured, Request};
use crate::rules::{Rule, Rules};

/// How often replicas and latencies are looked at.
const EVERY: Duration = Duration::from_secs(3);
/// The calls that a percentile is over ended within this span.
const LATENCY_SPAN: Duration = Duration::from_secs(30);
/// Functions whose replicas are asked about at the same time.
const AT_ONCE: usize = 8;

/// All that is measured.
pub struct Measuring {
    pub(crate) clock: Clock,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) table: Arc<Table>,
    pub(crate) rules: Rules,
    /// The receiver is the scale loop.
    pub(crate) scale: mpsc::Sender<Request>,
}

/// What the replicas of a function use, and what is wanted of it.
type Usage = (FunctionId, Vec<Source>, Result<Vec<ReplicaUsage>, String>);

/// What was read before, of functions that are measured still.
#[derive(Default)]
struct Known {
    cpu: HashMap<FunctionId, HashMap<ReplicaId, (Moment, u64)>>,
    durations: HashMap<FunctionId, VecDeque<(Moment, Durations)>>,
}

impl Measuring {
    /// Measures for good.
    pub async fn run(self) {
        let rules = join_all(self.rules.iter().map(|rule| self.ask_rule(rule)));
        tokio::join!(self.look_at_functions(), rules);
    }

    async fn look_at_functions(&self) {
        let mut known = Known::default();
        let mut ticks = every(EVERY);
        loop {
            ticks.tick().await;
            let wanted = self.wanted().await;
            known.keep(&wanted);
            let mut values = Vec::new();
            for (function, sources) in &wanted {
                let entry = self.table.get(function).filter(|_| sources.contains(&Source::Latency));
                if let Some(entry) = entry {
                    let value = known.latency(self.clock.now(), &entry);
                    values.push((function.clone(), Source::Latency, value));
                }
            }
            let mut asked = stream::iter(self.usages(wanted)).buffer_unordered(AT_ONCE);
            while let Some((function, sources, used)) = asked.next().await {
                known.usage(self.clock.now(), &function, &sources, &used, &mut values);
            }
            self.tell(values).await;
        }
    }

    /// What replicas use, of those that want to know it.
    fn usages(&self, wanted: Vec<(FunctionId, Vec<Source>)>) -> Vec<BoxFuture<'static, Usage>> {
        let usage = |source: &Source| matches!(source, Source::Cpu | Source::Memory);
        let wanted = wanted.into_iter().filter(|(_, sources)| sources.iter().any(usage));
        let ask = |(function, sources): (FunctionId, Vec<Source>)| {
            let provider = Arc::clone(&self.provider);
            async move {
                let used = provider.usage(&function).await.map_err(|error| error.to_string());
                (function, sources, used)
            }
            .boxed()
        };
        wanted.map(ask).collect()
    }

    async fn ask_rule(&self, rule: &Rule) {
        let source = Source::Rule(Arc::clone(&rule.name));
        let mut ticks = every(rule.interval);
        loop {
            ticks.tick().await;
            let mut wanted = self.wanted().await;
            wanted.retain(|(_, sources)| sources.contains(&source));
            if wanted.is_empty() {
                continue;
            }
            let answer = rule.server.query(&rule.query).await.map_err(|error| error.to_string());
            let value = |function: &FunctionId| match &answer {
                Ok(values) => values.get(function).cloned().unwrap_or_else(|| {
                    Err(format!("the query gives no row with function_name {function}"))
                }),
                Err(why) => Err(why.clone()),
            };
            let values = wanted.into_iter().map(|(function, _)| {
                let value = value(&function);
                (function, source.clone(), value)
            });
            self.tell(values.collect()).await;
        }
    }

    /// What is to be measured now; nothing when the scale loop is gone.
    async fn wanted(&self) -> Vec<(FunctionId, Vec<Source>)> {
        let (answer, answered) = oneshot::channel();
        if self.scale.send(Request::Wanted { answer }).await.is_err() {
            return Vec::new();
        }
        answered.await.unwrap_or_default()
    }

    async fn tell(&self, values: Vec<Measured>) {
        if !values.is_empty() {
            // Without a scale loop nobody needs them.
            let _ = self.scale.send(Request::Measured { values }).await;
        }
    }
}

impl Known {
    /// Forgets those that are measured no more.
    fn keep(&mut self, wanted: &[(FunctionId, Vec<Source>)]) {
        let wants = |function: &FunctionId, source: &Source| {
            wanted.iter().any(|(id, sources)| id == function && sources.contains(source))
        };
        self.cpu.retain(|function, _| wants(function, &Source::Cpu));
        self.durations.retain(|function, _| wants(function, &Source::Latency));
    }

    /// The percentile of the labels, over the calls that ended lately.
    fn latency(&mut self, now: Moment, entry: &Entry) -> Result<f64, String> {
        let (percentile, _) =
            entry.policy().latency_target().ok_or("the labels name no percentile any more")?;
        let all = entry.durations();
        let earlier = self.durations.entry(entry.id().clone()).or_default();
        while earlier.get(1).is_some_and(|(at, _)| now.since(*at) >= LATENCY_SPAN) {
            earlier.pop_front();
        }
        let begin = earlier.front().map(|(_, durations)| *durations);
        earlier.push_back((now, all));
        let begin = begin.ok_or("measured for the first time just now")?;
        if let Some(value) = all.since(&begin).percentile(percentile.as_f64()) {
            return Ok(value);
        }
        if entry.inside() > 0 {
            Err("no call ended lately, and some are open".to_owned())
        } else {
            Ok(0.0)
        }
    }

    fn usage(
        &mut self,
        now: Moment,
        function: &FunctionId,
        sources: &[Source],
        used: &Result<Vec<ReplicaUsage>, String>,
        values: &mut Vec<Measured>,
    ) {
        for source in sources {
            let value = match (source, used) {
                (Source::Cpu, Ok(used)) => Ok(self.cpu(now, function, used)),
                (Source::Memory, Ok(used)) => {
                    Ok(used.iter().map(|replica| replica.memory_bytes as f64).sum())
                }
                (Source::Cpu | Source::Memory, Err(why)) => Err(why.clone()),
                _ => continue,
            };
            values.push((function.clone(), source.clone(), value));
        }
    }

    /// Milli-CPU since the last time, of all replicas; of a new one what the provider says.
    fn cpu(&mut self, now: Moment, function: &FunctionId, used: &[ReplicaUsage]) -> f64 {
        let earlier = self.cpu.remove(function).unwrap_or_default();
        let mut sum = 0.0;
        for replica in used {
            sum += match earlier.get(&replica.id) {
                Some((at, millis)) if now > *at && replica.cpu_millis >= *millis => {
                    (replica.cpu_millis - millis) as f64 / now.since(*at).as_secs_f64()
                }
                _ => replica.cpu_millicores,
            };
        }
        let read = used.iter().map(|replica| (replica.id.clone(), (now, replica.cpu_millis)));
        self.cpu.insert(function.clone(), read.collect());
        sum
    }
}

fn every(span: Duration) -> tokio::time::Interval {
    let mut ticks = interval(span);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
