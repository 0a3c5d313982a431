//! The Azure Functions trace of 2019: how often each function was called in each minute of a day.
//!
//! `HashOwner,HashApp,HashFunction,Trigger,1,…,1440`, one file a day; several days follow one another.
//! Within its minute a call comes at a moment drawn from the seed. A second file may say how long calls
//! take: `HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_0,…_100`, ms.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{FunctionId, Moment};

use super::csv::{BadTrace, Row, Rows};
use super::{Call, Calls, Make, Stream, Trace, Traced, function_named};
use crate::random::Random;
use crate::span::Span;

const MINUTES: usize = 1440;
const MINUTE: u64 = 60_000_000_000;
/// Where no durations are known: about what half of Azure's functions take.
const TAKES: Span =
    Span::Lognormal { p50: Duration::from_millis(300), p99: Duration::from_secs(10) };

/// Whether a first row is one of this format.
pub(crate) fn fits(first: &str) -> bool {
    first.starts_with("HashOwner,HashApp,HashFunction,Trigger,1,")
}

/// Days that were read.
#[derive(Debug, Default)]
pub(crate) struct Days {
    days: u32,
    functions: BTreeMap<FunctionId, Function>,
}

#[derive(Debug, Default)]
struct Function {
    minutes: Vec<(u32, u32)>,
    takes: Option<Span>,
}

/// The calls of one function.
#[derive(Debug)]
struct Counted {
    minutes: Vec<(u32, u32)>,
    takes: Span,
    seed: u64,
}

impl Days {
    /// Reads the counts of the next day.
    pub(crate) fn day<R: BufRead>(&mut self, rows: &mut Rows<R>) -> Result<(), BadTrace> {
        let begins = self.days * MINUTES as u32;
        while let Some(row) = rows.next()? {
            if row.line() == 1 {
                continue;
            }
            let (name, counts) = day_row(row)?;
            let function = self.functions.entry(name).or_default();
            function.minutes.extend(counts.into_iter().map(|(at, count)| (begins + at, count)));
        }
        self.days += 1;
        Ok(())
    }

    /// Reads how long calls take.
    pub(crate) fn durations<R: BufRead>(&mut self, rows: &mut Rows<R>) -> Result<(), BadTrace> {
        let mut columns = None;
        while let Some(row) = rows.next()? {
            let Some((p50, p99)) = columns else {
                let at = |name: &str| row.fields().position(|field| field.text == name);
                let found = at("percentile_Average_50").zip(at("percentile_Average_99"));
                let what = "columns percentile_Average_50 and percentile_Average_99 are missing";
                columns = Some(found.ok_or_else(|| row.bad(what))?);
                continue;
            };
            let fields: Vec<_> = row.fields().collect();
            let (Some(p50), Some(p99)) = (fields.get(p50), fields.get(p99)) else {
                return Err(row.bad("fewer fields than columns"));
            };
            let millis = |field: &super::csv::Field<'_>| -> Result<Duration, BadTrace> {
                let millis: f64 = field.parse("a number of milliseconds")?;
                let millis = millis.max(0.1) / 1000.0;
                Duration::try_from_secs_f64(millis).map_err(|_| field.bad("is out of range"))
            };
            let (p50, p99) = (millis(p50)?, millis(p99)?);
            let name = name_of(fields[0].text, fields[1].text, fields[2].text);
            if let Some(function) = self.functions.get_mut(&name) {
                function.takes = Some(Span::Lognormal { p50, p99: p99.max(p50) });
            }
        }
        Ok(())
    }

    pub(crate) fn trace(self, name: &str, seed: u64) -> Trace {
        let traced = |(id, function): (FunctionId, Function)| {
            let seed = seed ^ crate::hash::of(id.as_str().as_bytes());
            let takes = function.takes.unwrap_or(TAKES);
            Traced::new(
                id,
                Calls::Made(Arc::new(Counted { minutes: function.minutes, takes, seed })),
            )
        };
        Trace {
            name: name.to_owned(),
            end: Moment::from_nanos(u64::from(self.days) * MINUTES as u64 * MINUTE),
            functions: self.functions.into_iter().map(traced).collect(),
        }
    }
}

type Minutes = Vec<(u32, u32)>;

fn day_row(row: Row<'_>) -> Result<(FunctionId, Minutes), BadTrace> {
    let mut fields = row.fields();
    let mut text = || {
        let field = fields.next().ok_or_else(|| row.bad("fewer than 4 fields"))?;
        Ok::<_, BadTrace>(field.text)
    };
    let name = name_of(text()?, text()?, text()?);
    text()?;
    let mut minutes = Minutes::new();
    let mut seen = 0;
    for field in fields {
        if seen == MINUTES {
            return Err(field.bad("a day has 1440 minutes; this is one too many"));
        }
        let count: u32 = field.parse("a whole number of calls")?;
        if count > 0 {
            minutes.push((seen as u32, count));
        }
        seen += 1;
    }
    if seen < MINUTES {
        return Err(row.bad(format!("{seen} minutes where a day has 1440")));
    }
    Ok((name, minutes))
}

fn name_of(owner: &str, app: &str, function: &str) -> FunctionId {
    function_named(&format!("{function}/{app}/{owner}"))
}

impl Make for Counted {
    fn calls(&self) -> Stream {
        let mut random = Random::new(self.seed);
        let takes = self.takes.drawn();
        let minutes = self.minutes.clone();
        Box::new(minutes.into_iter().flat_map(move |(minute, count)| {
            let begins = u64::from(minute) * MINUTE;
            let mut calls: Vec<Call> = (0..count)
                .map(|_| Call { at: begins + random.below(MINUTE), takes: takes.draw(&mut random) })
                .collect();
            calls.sort_unstable();
            calls
        }))
    }
}
