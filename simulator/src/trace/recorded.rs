//! A record of a scale loop, as the calls that must have made it.
//!
//! A record tells how many calls began between two looks, and the integral of concurrency, not each call.
//! Calls are spread evenly between the looks, the last one at the look itself, which is exact for those
//! that nudged; each takes what calls took on average: waiting included.

use std::collections::BTreeMap;
use std::io::BufRead;

use tidegate_core::FunctionId;

use super::csv::{BadTrace, Rows};
use super::{Call, Gathered};
use crate::record::MAGIC;
use crate::replay::{Line, read_line};

/// Whether a first row is one of this format.
pub(crate) fn fits(first: &str) -> bool {
    first == MAGIC
}

#[derive(Default)]
struct Function {
    at: u64,
    known: bool,
    started: u64,
    completed: u64,
    concurrency: u64,
    /// When calls began.
    calls: Vec<u64>,
    ended: u64,
    worked: u64,
}

pub(crate) fn read<R: BufRead>(rows: &mut Rows<R>) -> Result<Gathered, BadTrace> {
    let mut functions: BTreeMap<FunctionId, Function> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        if row.line() == 1 {
            continue;
        }
        let Line::Look(look) = read_line(row)? else { continue };
        if let Some(load) = look.seen.load {
            let function = functions.entry(look.seen.function.clone()).or_default();
            function.see(look.now.as_nanos(), &load);
        }
    }
    let mut gathered = Gathered::default();
    for (id, function) in functions {
        let takes = function.worked / function.ended.max(1);
        for at in function.calls {
            gathered.add(&id, Call { at, takes });
        }
    }
    Ok(gathered)
}

impl Function {
    fn see(&mut self, now: u64, load: &tidegate_core::Load) {
        let anew = load.started < self.started || load.concurrency_nanos < self.concurrency;
        if self.known && !anew {
            let came = load.started - self.started;
            let span = now.saturating_sub(self.at);
            let at =
                |nth: u64| self.at + (u128::from(span) * u128::from(nth) / u128::from(came)) as u64;
            self.calls.extend((1..=came).map(at));
            self.ended += load.completed.saturating_sub(self.completed);
            self.worked += load.concurrency_nanos - self.concurrency;
        }
        self.known = true;
        (self.at, self.started) = (now, load.started);
        (self.completed, self.concurrency) = (load.completed, load.concurrency_nanos);
    }
}
