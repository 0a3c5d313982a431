//! Arrivals one by one, as the load tester replays and writes them: columns `time`, `function` and, when
//! known, `duration` and `body`.
//!
//! The first line names the columns; without it they stand in that order. Times are seconds after the
//! start (`12.5`) or durations (`250ms`). A call without a duration takes 100 ms; bodies are not needed.

use std::io::BufRead;

use super::csv::{BadTrace, Field, Row, Rows};
use super::{Call, Gathered, function_named};

/// What a call without a duration takes.
const TAKES: u64 = 100_000_000;
const NAMES: [&str; 4] = ["time", "function", "duration", "body"];

/// Where the columns stand, by [`NAMES`].
type Columns = [Option<usize>; 4];

/// Whether a first row is one of this format.
pub(crate) fn fits(first: &str) -> bool {
    let names: Vec<&str> = first.split(',').map(str::trim).collect();
    let named = names.contains(&"time") && names.contains(&"function");
    named || names[0].starts_with(|c: char| c.is_ascii_digit())
}

pub(crate) fn read<R: BufRead>(rows: &mut Rows<R>) -> Result<Gathered, BadTrace> {
    let mut gathered = Gathered::default();
    let mut columns: Columns = [Some(0), Some(1), Some(2), Some(3)];
    let mut begun = false;
    while let Some(row) = rows.next()? {
        let header = !std::mem::replace(&mut begun, true)
            && row.fields().any(|field| NAMES.contains(&field.text));
        if header {
            columns = read_header(row)?;
            continue;
        }
        let (function, call) = call(row, &columns)?;
        gathered.add(&function_named(function), call);
    }
    Ok(gathered)
}

fn read_header(row: Row<'_>) -> Result<Columns, BadTrace> {
    let mut columns = Columns::default();
    for (at, field) in row.fields().enumerate() {
        let column = NAMES.iter().position(|name| *name == field.text).ok_or_else(|| {
            let shown = field.shown();
            field.bad(format!("column {shown:?} is not time, function, duration or body"))
        })?;
        columns[column] = Some(at);
    }
    if columns[0].is_none() || columns[1].is_none() {
        return Err(row.bad("the columns time and function are needed"));
    }
    Ok(columns)
}

fn call<'a>(row: Row<'a>, columns: &Columns) -> Result<(&'a str, Call), BadTrace> {
    let width = columns.iter().flatten().max().map_or(0, |last| last + 1);
    let mut found: [Option<Field<'a>>; 4] = [None; 4];
    for (at, field) in row.fields().enumerate() {
        if at >= width {
            return Err(field.bad(format!("a field too many; a row has {width} at most")));
        }
        if let Some(column) = columns.iter().position(|column| *column == Some(at)) {
            found[column] = Some(field);
        }
    }
    let [Some(at), Some(function), takes, body] = found else {
        return Err(row.bad("fields are missing; a row is time,function[,duration[,body]]"));
    };
    if function.text.is_empty() {
        return Err(function.bad("the function has no name"));
    }
    let given = |field: Option<Field<'a>>| field.filter(|field| !field.text.is_empty());
    if let Some(body) = given(body) {
        body.parse::<u64>("a size in bytes")?;
    }
    let takes = given(takes).map_or(Ok(TAKES), |takes| takes.time())?;
    Ok((function.text, Call { at: at.time()?, takes }))
}
