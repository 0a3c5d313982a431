//! Recordings of calls as CSV: when, which function, how long it worked, how big the body was.
//!
//! The format is described in `loadtest/README.md`; the simulator reads the same. A broken row is
//! refused with file, line and column: half a recording would replay as another load.

use std::io::BufRead;
use std::time::Duration;

use thiserror::Error;
use tidegate_core::parse_duration;

use crate::plan::{Due, Target};

/// One row of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// After the start of the recording.
    pub at: Duration,
    /// `name` or `name.namespace`.
    pub function: String,
    /// How long the function worked, when recorded.
    pub takes: Option<Duration>,
    /// Bytes of the request's body, when recorded.
    pub body: Option<u64>,
}

/// Why a recording cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadTrace {
    /// The file cannot be read.
    #[error("{file}: {why}")]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        why: String,
    },
    /// The first line does not name the columns.
    #[error(
        "{file}:1: the first line must name the columns time and function, and may name duration and body; {why}"
    )]
    Header {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// A row is broken.
    #[error("{file}:{line}:{column}: {why}")]
    Row {
        /// The file.
        file: String,
        /// From 1.
        line: usize,
        /// Where the field begins, from 1.
        column: usize,
        /// What is wrong, and what is allowed.
        why: String,
    },
    /// No rows.
    #[error("{file}: the recording has no calls")]
    Empty {
        /// The file.
        file: String,
    },
}

/// Longest body a row may ask for: it is made in memory.
const BIGGEST_BODY: u64 = 64 * 1024 * 1024;

/// Reads a recording for a run: every function in it must be the name of a target. Rows may stand in any
/// order; they are sorted by time.
///
/// # Errors
/// When it cannot be read, has a broken row, calls an unknown function or is empty.
pub fn read_trace(
    reader: impl BufRead,
    file: &str,
    targets: &[Target],
) -> Result<Vec<Due>, BadTrace> {
    let mut dues = Vec::new();
    for row in rows(reader, file)? {
        let (line, row) = row?;
        let target =
            targets.iter().position(|target| target.name == row.function).ok_or_else(|| {
                let known: Vec<_> =
                    targets.iter().take(8).map(|target| target.name.as_str()).collect();
                let why = format!(
                    "no target is named {:?}; there are {}",
                    row.function,
                    known.join(", ")
                );
                BadTrace::Row { file: file.to_owned(), line, column: 1, why }
            })?;
        let target = u32::try_from(target).unwrap_or(u32::MAX);
        dues.push(Due { at: row.at, target, takes: row.takes, body: row.body });
    }
    if dues.is_empty() {
        return Err(BadTrace::Empty { file: file.to_owned() });
    }
    dues.sort_by_key(|due| due.at);
    Ok(dues)
}

/// Rows of a recording with the numbers of their lines, as they stand.
///
/// # Errors
/// When the first line cannot be read or does not name the columns; later errors come with their row.
pub fn rows<R: BufRead>(
    reader: R,
    file: &str,
) -> Result<impl Iterator<Item = Result<(usize, Row), BadTrace>> + use<R>, BadTrace> {
    let mut lines = reader.lines();
    let first =
        lines.next().transpose().map_err(|error| unreadable(file, &error))?.unwrap_or_default();
    let columns = Columns::read(first.trim_start_matches('\u{feff}'))
        .map_err(|why| BadTrace::Header { file: file.to_owned(), why })?;
    let file = file.to_owned();
    Ok(lines.enumerate().filter_map(move |(index, line)| {
        let number = index + 2;
        let line = match line {
            Ok(line) => line,
            Err(error) => return Some(Err(unreadable(&file, &error))),
        };
        if line.trim().is_empty() || line.starts_with('#') {
            return None;
        }
        let row = columns.row(&line);
        Some(match row {
            Ok(row) => Ok((number, row)),
            Err((column, why)) => {
                Err(BadTrace::Row { file: file.clone(), line: number, column, why })
            }
        })
    }))
}

fn unreadable(file: &str, error: &std::io::Error) -> BadTrace {
    BadTrace::Read { file: file.to_owned(), why: error.to_string() }
}

/// Where each field stands in a row.
struct Columns {
    count: usize,
    time: usize,
    function: usize,
    duration: Option<usize>,
    body: Option<usize>,
}

impl Columns {
    fn read(line: &str) -> Result<Self, String> {
        let names: Vec<_> =
            line.split(',').map(|name| unquoted(name).to_ascii_lowercase()).collect();
        let find = |wanted: &str| names.iter().position(|name| name == wanted);
        if let Some(other) = names
            .iter()
            .find(|name| !matches!(name.as_str(), "time" | "function" | "duration" | "body"))
        {
            return Err(format!("{other:?} is none of them"));
        }
        Ok(Self {
            count: names.len(),
            time: find("time").ok_or("time is missing")?,
            function: find("function").ok_or("function is missing")?,
            duration: find("duration"),
            body: find("body"),
        })
    }

    /// The row, or the column of what is wrong and why.
    fn row(&self, line: &str) -> Result<Row, (usize, String)> {
        let mut begin = 1;
        let fields: Vec<_> = line
            .split(',')
            .map(|field| {
                let at = begin;
                begin += field.chars().count() + 1;
                (at, unquoted(field))
            })
            .collect();
        if fields.len() != self.count {
            return Err((
                1,
                format!("{} fields, but the first line names {}", fields.len(), self.count),
            ));
        }
        let (at_column, time) = fields[self.time];
        let at = moment(time).ok_or_else(|| {
            (
                at_column,
                format!(
                    "time {time:?} is neither seconds such as 1.25 nor a duration such as 1m30s"
                ),
            )
        })?;
        let (column, function) = fields[self.function];
        if function.is_empty() {
            return Err((column, "the function has no name".to_owned()));
        }
        Ok(Row {
            at,
            function: function.to_owned(),
            takes: optional(
                &fields,
                self.duration,
                "duration, seconds such as 0.25 or 250ms",
                moment,
            )?,
            body: optional(&fields, self.body, "number of bytes up to 67108864", |text| {
                text.parse().ok().filter(|bytes| *bytes <= BIGGEST_BODY)
            })?,
        })
    }
}

/// A field that may be missing or empty.
fn optional<T>(
    fields: &[(usize, &str)],
    index: Option<usize>,
    what: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, (usize, String)> {
    let Some((column, text)) =
        index.map(|index| fields[index]).filter(|(_, text)| !text.is_empty())
    else {
        return Ok(None);
    };
    read(text).map(Some).ok_or_else(|| (column, format!("{text:?} is not a {what}")))
}

/// Seconds, or a duration in Go's syntax.
fn moment(text: &str) -> Option<Duration> {
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        let seconds: f64 = text.parse().ok()?;
        return Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|span| span.as_secs() < 366 * 86_400);
    }
    parse_duration(text).ok()
}

fn unquoted(field: &str) -> &str {
    let field = field.trim();
    field.strip_prefix('"').and_then(|field| field.strip_suffix('"')).unwrap_or(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(usize, Row)>, String> {
        let rows = rows(text.as_bytes(), "t.csv").map_err(|error| error.to_string())?;
        rows.collect::<Result<_, _>>().map_err(|error| error.to_string())
    }

    #[test]
    fn columns_in_any_order_and_empty_fields() {
        let rows =
            read("function,time,body,duration\na,1.5,,\n\n# note\n\"b\",2m,10,250ms\n").unwrap();
        assert_eq!(
            rows[0],
            (
                2,
                Row {
                    at: Duration::from_millis(1500),
                    function: "a".into(),
                    takes: None,
                    body: None
                }
            )
        );
        let takes = Some(Duration::from_millis(250));
        assert_eq!(
            rows[1],
            (5, Row { at: Duration::from_secs(120), function: "b".into(), takes, body: Some(10) })
        );
    }

    #[test]
    fn broken_rows_name_their_place() {
        let place = |text: &str| read(text).unwrap_err();
        assert!(place("time,function\n1,a\nx,a\n").starts_with("t.csv:3:1: time \"x\""));
        assert!(
            place("time,function,duration\n1,abc,never\n")
                .starts_with("t.csv:2:7: \"never\" is not a duration")
        );
        assert!(
            place("time,function,body\n1,a,-1\n")
                .starts_with("t.csv:2:5: \"-1\" is not a number of bytes")
        );
        assert!(place("time,function\n1,a,b\n").starts_with("t.csv:2:1: 3 fields"));
        assert!(place("time,function\n-1,a\n").starts_with("t.csv:2:1: time"));
        assert!(place("1,a\n").contains("first line must name"));
        assert!(place("time\n").contains("function is missing"));
        assert!(place("").contains("first line must name"));
    }
}
