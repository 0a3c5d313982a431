//! `tidegate explain NAME`: why a function has as many replicas as it has.
//!
//! The gateway sends what the autoscaler saw, its formula with the numbers in it, the bounds in their
//! order and the last decisions. Shown as it is told, so that nothing it says is left out: values as
//! lines, lists of things as tables.

use serde_json::{Map, Value};

use super::Context;
use super::failure::Failure;
use crate::output::{Align, Paint};

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which function, as NAME or NAME.NAMESPACE
    name: String,
    /// How many of the last decisions are shown
    #[arg(long, default_value_t = 10, value_name = "N")]
    last: usize,
}

/// Prints the explanation.
pub async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let function = context.function(&args.name)?;
    let spoken = Context::spoken(&function);
    let path = context.path_of("scaling", &function);
    let action = format!("explain {spoken}");
    let found: Value =
        context.gateway()?.get(&path, &action).await.map_err(Context::not_deployed)?;
    if context.output.is_json() {
        return context.output.json(&found);
    }
    match &found {
        Value::Object(parts) => show_object(context, parts, 0, args.last)?,
        other => context.output.line(&scalar(other))?,
    }
    context.output.next(&format!("tidegate describe {spoken}"));
    Ok(())
}

/// Plain values first, then what has parts of its own, each under its heading.
fn show_object(
    context: &Context,
    parts: &Map<String, Value>,
    depth: usize,
    last: usize,
) -> Result<(), Failure> {
    let indent = "  ".repeat(depth);
    let (nested, plain): (Vec<_>, Vec<_>) = parts.iter().partition(|(_, value)| has_parts(value));
    let width = plain.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in plain.iter().filter(|(_, value)| !value.is_null()) {
        context.output.line(&format!("{indent}{:width$}  {}", words(name), scalar(value)))?;
    }
    for (name, value) in nested {
        let heading = context.output.paint(Paint::Bold, &words(name));
        context.output.line(&format!("{indent}{heading}"))?;
        match value {
            Value::Object(parts) => show_object(context, parts, depth + 1, last)?,
            Value::Array(rows) => show_rows(context, rows, last)?,
            _ => {}
        }
    }
    Ok(())
}

/// A list of things as a table, its columns in the order they first appear; the last ones of a long list.
fn show_rows(context: &Context, rows: &[Value], last: usize) -> Result<(), Failure> {
    let rows = &rows[rows.len().saturating_sub(last)..];
    let mut names: Vec<&str> = Vec::new();
    for name in rows.iter().filter_map(Value::as_object).flat_map(Map::keys) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return rows.iter().try_for_each(|row| context.output.line(&format!("  {}", scalar(row))));
    }
    let headings: Vec<String> = names.iter().map(|name| words(name).to_uppercase()).collect();
    let columns: Vec<_> = headings.iter().map(|heading| (heading.as_str(), Align::Left)).collect();
    let cell = |row: &Value, name: &str| row.get(name).map(scalar).unwrap_or_default();
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| names.iter().map(|name| cell(row, name)).collect()).collect();
    context.output.table(&columns, &cells)
}

fn has_parts(value: &Value) -> bool {
    match value {
        Value::Object(parts) => !parts.is_empty(),
        Value::Array(rows) => {
            rows.iter().any(|row| row.is_object() || row.is_array()) || rows.len() > 3
        }
        _ => false,
    }
}

/// `last_decisions` and `lastDecisions` as `last decisions`.
fn words(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        match letter {
            '_' => text.push(' '),
            upper if upper.is_ascii_uppercase() => {
                text.push(' ');
                text.push(upper.to_ascii_lowercase());
            }
            other => text.push(other),
        }
    }
    text
}

/// A value on one line; numbers without needless places.
fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => {
                format!("{float:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            _ => number.to_string(),
        },
        Value::Array(rows) => rows.iter().map(scalar).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_become_words_and_numbers_short() {
        assert_eq!(words("last_decisions"), "last decisions");
        assert_eq!(words("stableWindow"), "stable window");
        assert_eq!(scalar(&json!(2.5)), "2.5");
        assert_eq!(scalar(&json!(3.0)), "3");
        assert_eq!(scalar(&json!(0.333_333)), "0.333");
        assert_eq!(scalar(&json!(["a", 1])), "a, 1");
    }
}
