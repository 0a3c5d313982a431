//! The Azure Functions trace of 2021: one row for each call, with when it ended and what it took.
//!
//! `app,func,end_timestamp,duration`, seconds; rows in the order of their ends.

use std::io::BufRead;

use super::csv::{BadTrace, Rows};
use super::{Call, Gathered, function_named};

const FORM: &str = "app,func,end_timestamp,duration";

/// Whether a first row is one of this format.
pub(crate) fn fits(first: &str) -> bool {
    first.starts_with("app,func,end_timestamp")
}

pub(crate) fn read<R: BufRead>(rows: &mut Rows<R>) -> Result<Gathered, BadTrace> {
    let mut gathered = Gathered::default();
    let mut names = std::collections::HashMap::new();
    while let Some(row) = rows.next()? {
        if row.line() == 1 {
            continue;
        }
        let [app, function, end, takes] = row.exactly::<4>(FORM)?;
        if app.text.is_empty() || function.text.is_empty() {
            return Err(app.bad("the app or the function has no name"));
        }
        let (end, takes) = (end.time()?, takes.time()?);
        let key = (app.text, function.text);
        let known = names.get(&(key.0.to_owned(), key.1.to_owned())).cloned();
        let name = known.unwrap_or_else(|| {
            let name = function_named(&format!("{}/{}", key.0, key.1));
            names.insert((key.0.to_owned(), key.1.to_owned()), name.clone());
            name
        });
        gathered.add(&name, Call { at: end.saturating_sub(takes), takes });
    }
    Ok(gathered)
}
