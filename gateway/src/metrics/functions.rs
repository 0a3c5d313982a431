//! The series of all deployed functions, read from the function table when scraped.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use tidegate_core::Target;
use tidegate_provider::Phase;

use super::Counters;
use super::text::STARTED;
use crate::outcomes::{CALL_BOUNDS, Counts, OTHER_CODES, WAIT_BOUNDS};
use crate::{Entry, Table};

/// The code whose series is there before the first call, so that `rate()` sees that call.
const FIRST_CODE: u16 = 200;

/// Collects the series of all deployed functions.
#[derive(Debug)]
pub(crate) struct FunctionMetrics {
    table: Arc<Table>,
    counters: Arc<Counters>,
}

/// Name, help text, and what is read of each entry.
type Family = (&'static str, &'static str, fn(&Entry) -> u64);

type Labels<'a> = [(&'static str, &'a str); 1];

impl FunctionMetrics {
    /// Of this table.
    pub(crate) fn new(table: Arc<Table>, counters: Arc<Counters>) -> Self {
        Self { table, counters }
    }
}

impl Collector for FunctionMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let entries = self.table.entries();
        let out = &mut encoder;
        calls(out, &entries)?;
        counters(out, &entries)?;
        gauges(out, &entries)?;
        target_load(out, &entries)?;
        waits(out, &entries)?;
        let mut unknown = out.encode_descriptor(
            "tidegate_unknown_function_calls",
            "Calls of functions that are not deployed",
            None,
            MetricType::Counter,
        )?;
        count(&mut unknown, self.counters.unknown_functions())
    }
}

/// Calls by code: their number and how long they took.
fn calls(out: &mut DescriptorEncoder<'_>, entries: &[Arc<Entry>]) -> fmt::Result {
    let mut totals = out.encode_descriptor(
        "gateway_function_invocation",
        "Calls that have ended, by the status code the client got",
        None,
        MetricType::Counter,
    )?;
    for entry in entries {
        let name = entry.id().as_str();
        if !entry.outcomes().seen().any(|series| series.code() == FIRST_CODE) {
            let labels = [("function_name", name), ("code", "200")];
            count(&mut totals.encode_family(&labels)?, 0)?;
        }
        for series in entry.outcomes().seen() {
            let code = Code::of(series.code());
            let labels = [("function_name", name), ("code", code.text())];
            count(&mut totals.encode_family(&labels)?, series.counts().total())?;
        }
    }
    let mut durations = out.encode_descriptor(
        "gateway_functions_seconds",
        "How long calls took, from their arrival to the last byte of the answer",
        None,
        MetricType::Histogram,
    )?;
    for entry in entries {
        for series in entry.outcomes().seen() {
            let code = Code::of(series.code());
            let labels = [("function_name", entry.id().as_str()), ("code", code.text())];
            let mut metric = durations.encode_family(&labels)?;
            histogram(&mut metric, &series.counts(), &CALL_BOUNDS)?;
        }
    }
    Ok(())
}

/// Numbers that only grow.
fn counters(out: &mut DescriptorEncoder<'_>, entries: &[Arc<Entry>]) -> fmt::Result {
    let mut started =
        out.encode_descriptor(STARTED, "Calls that have arrived", None, MetricType::Unknown)?;
    for entry in entries {
        let labels = labels(entry);
        started.encode_family(&labels)?.encode_gauge(&entry.started())?;
    }
    let families: [Family; 3] = [
        ("tidegate_function_cold_starts", "Calls that waited for a replica to start", |entry| {
            entry.waits().map_or(0, |waits| waits.start.counts().total())
        }),
        ("tidegate_function_limited", "Calls refused by a rate limit", Entry::limited),
        ("tidegate_function_retries", "Further attempts after a replica failed", Entry::retried),
    ];
    for (name, help, read) in families {
        let mut family = out.encode_descriptor(name, help, None, MetricType::Counter)?;
        for entry in entries {
            let labels = labels(entry);
            count(&mut family.encode_family(&labels)?, read(entry))?;
        }
    }
    Ok(())
}

/// Numbers of this moment.
fn gauges(out: &mut DescriptorEncoder<'_>, entries: &[Arc<Entry>]) -> fmt::Result {
    let families: [Family; 6] = [
        ("gateway_service_count", "Replicas that are wanted", |entry| entry.desired().get().into()),
        ("gateway_service_ready_count", "Replicas that are given calls", |entry| {
            entry.available().get().into()
        }),
        ("gateway_service_min", "Least number of replicas under load", |entry| {
            entry.policy().bounds.min().get().into()
        }),
        ("gateway_function_invocation_inflight", "Calls being served or waiting", Entry::inside),
        ("tidegate_function_waiting", "Calls held in the waiting room", |entry| {
            entry.waiting() as u64
        }),
        (
            "tidegate_function_draining",
            "Replicas that finish their calls and get no new ones",
            |entry| entry.draining() as u64,
        ),
    ];
    for (name, help, read) in families {
        let mut family = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for entry in entries {
            let labels = labels(entry);
            family.encode_family(&labels)?.encode_gauge(&read(entry))?;
        }
    }
    resting(out, entries)
}

/// Only of functions that have some: most have none, and thousands may be deployed.
fn resting(out: &mut DescriptorEncoder<'_>, entries: &[Arc<Entry>]) -> std::fmt::Result {
    let families = [
        ("tidegate_function_frozen", "Replicas frozen at zero", Phase::Frozen),
        (
            "tidegate_function_created",
            "Replicas kept at zero, their programs not started",
            Phase::Created,
        ),
    ];
    for (name, help, phase) in families {
        let mut family = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for entry in entries {
            let count = u64::from(entry.status().count(phase).get());
            if count > 0 {
                family.encode_family(&labels(entry))?.encode_gauge(&count)?;
            }
        }
    }
    Ok(())
}

/// What a replica should carry, for functions that say so.
fn target_load(out: &mut DescriptorEncoder<'_>, entries: &[Arc<Entry>]) -> fmt::Result {
    let mut targets = out.encode_descriptor(
        "gateway_service_target_load",
        "Load that one replica should carry",
        None,
        MetricType::Gauge,
    )?;
    for entry in entries {
        if let Target::Load { load, target, .. } = &entry.policy().target {
            let labels = [("function_name", entry.id().as_str()), ("scaling_type", load.label())];
            targets.encode_family(&labels)?.encode_gauge(&target.as_f64())?;
        }
    }
    Ok(())
}

/// How long calls waited, by what for.
fn waits(out: &mut DescriptorEncoder<'_>, entries: &[Arc<Entry>]) -> fmt::Result {
    let mut waits = out.encode_descriptor(
        "tidegate_function_wait_seconds",
        "How long calls were held in the waiting room",
        None,
        MetricType::Histogram,
    )?;
    for entry in entries {
        let Some(seen) = entry.waits() else { continue };
        for (reason, counts) in [("start", seen.start.counts()), ("slot", seen.slot.counts())] {
            let labels = [("function_name", entry.id().as_str()), ("reason", reason)];
            histogram(&mut waits.encode_family(&labels)?, &counts, &WAIT_BOUNDS)?;
        }
    }
    Ok(())
}

fn labels(entry: &Entry) -> Labels<'_> {
    [("function_name", entry.id().as_str())]
}

fn count(metric: &mut MetricEncoder<'_>, number: u64) -> fmt::Result {
    metric.encode_counter::<[(&str, &str); 0], u64, u64>(&number, None)
}

fn histogram(metric: &mut MetricEncoder<'_>, counts: &Counts, bounds: &[u64; 11]) -> fmt::Result {
    let mut buckets = [(f64::INFINITY, 0); 12];
    for (at, (bucket, number)) in buckets.iter_mut().zip(counts.counts).enumerate() {
        let bound = bounds.get(at).map_or(f64::INFINITY, |nanos| *nanos as f64 / 1e9);
        *bucket = (bound, number);
    }
    metric.encode_histogram::<[(&str, &str); 0]>(counts.seconds(), counts.total(), &buckets, None)
}

/// A code as a label.
struct Code {
    digits: [u8; 3],
    other: bool,
}

impl Code {
    fn of(code: u16) -> Self {
        let digit = |place: u16| b'0' + u8::try_from(code / place % 10).unwrap_or_default();
        Self { digits: [digit(100), digit(10), digit(1)], other: code == OTHER_CODES }
    }

    fn text(&self) -> &str {
        if self.other { "other" } else { std::str::from_utf8(&self.digits).unwrap_or("other") }
    }
}
