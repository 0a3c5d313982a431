//! Traces: who was called when, and how long each call took.
//!
//! A trace is a list of functions, each with its own calls in order of time. Calls that are made by a
//! generator are made anew for every run, so that a trace of many millions takes no memory.

pub(crate) mod arrivals;
pub(crate) mod azure2019;
pub(crate) mod azure2021;
pub(crate) mod csv;
pub(crate) mod hey;
pub(crate) mod recorded;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::BufRead;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{FunctionId, Moment};

use crate::span::{Span, nanos};

pub use csv::BadTrace;

/// One call: nanoseconds after the start of the trace, and how long a replica works on it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// When it arrives.
    pub at: u64,
    /// How long it takes once a replica has it.
    pub takes: u64,
}

/// Everything that is called in one run.
#[derive(Clone, Debug)]
pub struct Trace {
    /// What it is called in reports.
    pub name: String,
    /// When the run ends.
    pub end: Moment,
    /// Who is called.
    pub functions: Vec<Traced>,
}

/// One function of a trace.
#[derive(Clone, Debug)]
pub struct Traced {
    /// Which.
    pub id: FunctionId,
    /// Its calls.
    pub calls: Calls,
    /// How long its replicas take to start, where that is not what the provider model says.
    pub cold: Option<Span>,
    /// Share of its starts that fail, where that is not what the provider model says.
    pub fail: Option<f64>,
}

/// The calls of one function, in order of time.
#[derive(Clone, Debug)]
pub enum Calls {
    /// As they were read.
    Listed(Arc<[Call]>),
    /// As they are made.
    Made(Arc<dyn Make>),
}

/// Makes the calls of a function: the same ones each time.
pub trait Make: Debug + Send + Sync {
    /// Calls in order of time.
    fn calls(&self) -> Stream;
}

/// Calls in order of time.
pub type Stream = Box<dyn Iterator<Item = Call> + Send>;

impl Calls {
    /// From the first one on.
    pub fn stream(&self) -> Stream {
        match self {
            Self::Listed(calls) => {
                let calls = Arc::clone(calls);
                Box::new((0..calls.len()).map(move |at| calls[at]))
            }
            Self::Made(maker) => maker.calls(),
        }
    }
}

impl Traced {
    /// A function with these calls and nothing particular about its starts.
    pub fn new(id: FunctionId, calls: Calls) -> Self {
        Self { id, calls, cold: None, fail: None }
    }
}

/// How files are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// How long the run goes on after the last call has ended.
    pub tail: Duration,
    /// Seeds what a file leaves open.
    pub seed: u64,
}

impl Default for Reading {
    fn default() -> Self {
        Self { tail: Duration::from_secs(60), seed: 1 }
    }
}

/// Reads a trace of any of the formats; the first line says which. Several files of days follow one
/// another, others are put together. `durations` go with files of days.
///
/// # Errors
/// With file, line and column of what cannot be read.
pub fn read<R: BufRead>(
    files: Vec<(String, R)>,
    durations: Option<(String, R)>,
    reading: &Reading,
) -> Result<Trace, BadTrace> {
    let name = files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ");
    let mut days: Option<azure2019::Days> = None;
    let mut gathered = Gathered::default();
    for (file, input) in files {
        let mut rows = csv::Rows::new(&file, input);
        let Some(first) = rows.next()?.map(|row| row.text().to_owned()) else {
            return Err(rows.bad("the file is empty"));
        };
        rows.hold();
        if azure2019::fits(&first) {
            days.get_or_insert_default().day(&mut rows)?;
        } else {
            gathered.extend(read_calls(&first, &mut rows)?);
        }
    }
    let Some(mut days) = days else {
        return Ok(gathered.trace(&name, nanos(reading.tail)));
    };
    if let Some((file, input)) = durations {
        days.durations(&mut csv::Rows::new(&file, input))?;
    }
    Ok(days.trace(&name, reading.seed))
}

fn read_calls<R: BufRead>(first: &str, rows: &mut csv::Rows<R>) -> Result<Gathered, BadTrace> {
    if recorded::fits(first) {
        recorded::read(rows)
    } else if azure2021::fits(first) {
        azure2021::read(rows)
    } else if hey::fits(first) {
        hey::read(rows)
    } else if arrivals::fits(first) {
        arrivals::read(rows)
    } else {
        Err(rows.bad(UNKNOWN))
    }
}

const UNKNOWN: &str = "the first line is of no known trace: time,function,duration; \
    HashOwner,HashApp,HashFunction,Trigger,1,…; app,func,end_timestamp,duration; what `hey -o csv` \
    writes; or a record of tidegate";

/// Calls read in any order, to be sorted by function and time.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    by_function: BTreeMap<FunctionId, Vec<Call>>,
}

impl Gathered {
    pub(crate) fn add(&mut self, function: &FunctionId, call: Call) {
        match self.by_function.get_mut(function) {
            Some(calls) => calls.push(call),
            None => {
                self.by_function.insert(function.clone(), vec![call]);
            }
        }
    }

    fn extend(&mut self, other: Self) {
        for (function, calls) in other.by_function {
            self.by_function.entry(function).or_default().extend(calls);
        }
    }

    /// The trace; it begins at the first call and ends `tail` after the last one has ended.
    pub(crate) fn trace(self, name: &str, tail: u64) -> Trace {
        let first = self.by_function.values().flatten().map(|call| call.at).min().unwrap_or(0);
        self.trace_from(name, first, tail)
    }

    /// The trace; it begins at `first`.
    pub(crate) fn trace_from(self, name: &str, first: u64, tail: u64) -> Trace {
        let mut end = 0;
        let mut functions = Vec::new();
        for (id, mut calls) in self.by_function {
            calls.sort_unstable();
            for call in &mut calls {
                call.at = call.at.saturating_sub(first);
                end = end.max(call.at.saturating_add(call.takes));
            }
            functions.push(Traced::new(id, Calls::Listed(calls.into())));
        }
        let end = Moment::from_nanos(end.saturating_add(tail));
        Trace { name: name.to_owned(), end, functions }
    }
}

/// A function's name made of what a trace calls it: what is no DNS label becomes one, with a hash so that
/// two do not become the same.
pub(crate) fn function_named(text: &str) -> FunctionId {
    const LONGEST: usize = 40;
    if let Ok(id) = FunctionId::parse(text) {
        return id;
    }
    let fits = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = text.chars().take(LONGEST).map(fits).collect();
    let hash = crate::hash::of(text.as_bytes());
    let name = format!("{}-{hash:016x}", name.trim_matches('-'));
    FunctionId::parse(name.trim_matches('-')).expect("letters, digits and dashes within 63 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_names_a_function_and_different_texts_different_ones() {
        let long = "a".repeat(64);
        let other = format!("{}b", "a".repeat(63));
        assert_eq!(function_named("cat").name(), "cat");
        assert_ne!(function_named(&long), function_named(&other));
        assert_ne!(function_named("ä b"), function_named("ö b"));
        assert!(function_named("").name().len() <= 63);
    }

    #[test]
    fn gathered_calls_are_sorted_and_begin_at_zero() {
        let mut gathered = Gathered::default();
        let cat = function_named("cat");
        gathered.add(&cat, Call { at: 30, takes: 1 });
        gathered.add(&cat, Call { at: 10, takes: 50 });
        let trace = gathered.trace("test", 5);
        let calls: Vec<u64> = trace.functions[0].calls.stream().map(|call| call.at).collect();
        assert_eq!(calls, [0, 20]);
        assert_eq!(trace.end, Moment::from_nanos(55));
    }
}
