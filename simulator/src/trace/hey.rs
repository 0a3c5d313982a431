//! What `hey -o csv` writes: one row for each answer of one function.
//!
//! `response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset`, seconds.
//! A call begins at its offset and takes its response time: waiting included, since hey cannot know.

use std::io::BufRead;

use super::csv::{BadTrace, Rows};
use super::{Call, Gathered, function_named};

const FORM: &str =
    "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset";

/// Whether a first row is one of this format.
pub(crate) fn fits(first: &str) -> bool {
    first.starts_with("response-time,")
}

pub(crate) fn read<R: BufRead>(rows: &mut Rows<R>) -> Result<Gathered, BadTrace> {
    let mut gathered = Gathered::default();
    let function = function_named("hey");
    while let Some(row) = rows.next()? {
        if row.line() == 1 {
            continue;
        }
        let [takes, _, _, _, _, _, _, at] = row.exactly::<8>(FORM)?;
        gathered.add(&function, Call { at: at.time()?, takes: takes.time()? });
    }
    Ok(gathered)
}
