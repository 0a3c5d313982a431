//! What the scale loop is told besides observations, as lines of a record: floors, rules, measured values, and
//! what was learnt about all functions together.
//!
//! ```text
//! floor,AT,NAME,LEAST
//! rules,AT,NAME,RULE:TARGET:PROPORTION:NANOS;…
//! measured,AT,NAME,cpu|memory|latency|rule:RULE,VALUE
//! failed,AT,NAME,cpu|memory|latency|rule:RULE,WHY
//! common,AT,-,JSON
//! memory,AT,-,short|enough
//! ```

use std::sync::Arc;
use std::time::Duration;

use tidegate_autoscaler::{Autoscaler, CustomRule, Source};
use tidegate_core::{Decimal, FunctionId, Moment, Replicas};
use tidegate_idler::CommonRecord;

use crate::record::unescape;
use crate::trace::BadTrace;
use crate::trace::csv::{Field, Row};

/// One such line.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Floor(FunctionId, Replicas),
    Rules(FunctionId, Vec<CustomRule>),
    Measured(Moment, FunctionId, Source, Result<f64, String>),
    Common(Box<CommonRecord>),
    MemoryIsShort(bool),
}

impl Told {
    /// Reads a line; `None` when it is of another kind.
    pub fn read(row: Row<'_>) -> Result<Option<Self>, BadTrace> {
        let fields: Vec<Field<'_>> = row.fields().collect();
        let known = ["floor", "rules", "measured", "failed", "common", "memory"];
        let kind = fields[0].text;
        if !known.contains(&kind) {
            return Ok(None);
        }
        let long_enough = if matches!(kind, "measured" | "failed") { 5 } else { 4 };
        if fields.len() != long_enough {
            return Err(row.bad(format!("{} fields where {kind} has {long_enough}", fields.len())));
        }
        let now = Moment::from_nanos(fields[1].parse("a time in nanoseconds")?);
        let name = |field: &Field<'_>| {
            FunctionId::parse(field.text).map_err(|error| field.bad(error.to_string()))
        };
        let last = fields[long_enough - 1];
        Ok(Some(match kind {
            "floor" => Self::Floor(
                name(&fields[2])?,
                last.parse("a count of replicas").map(Replicas::new)?,
            ),
            "rules" => Self::Rules(name(&fields[2])?, rules(&last)?),
            "measured" => {
                Self::Measured(now, name(&fields[2])?, source(&fields[3])?, Ok(value(&last)?))
            }
            "failed" => {
                let why = unescape(last.text).ok_or_else(|| last.bad("is no text"))?;
                Self::Measured(now, name(&fields[2])?, source(&fields[3])?, Err(why))
            }
            "common" => Self::Common(Box::new(json(&last)?)),
            _ => Self::MemoryIsShort(last.text == "short"),
        }))
    }

    /// Tells it.
    pub fn tell(self, autoscaler: &mut Autoscaler) {
        match self {
            Self::Floor(function, least) => autoscaler.floor(&function, least),
            Self::Rules(function, rules) => autoscaler.set_rules(&function, rules),
            Self::Measured(now, function, source, value) => {
                autoscaler.measured(now, &function, &source, value);
            }
            Self::Common(common) => autoscaler.restore_common(&common),
            Self::MemoryIsShort(short) => autoscaler.memory_is_short(short),
        }
    }
}

/// The word of a source.
pub(crate) fn source_text(source: &Source) -> String {
    match source {
        Source::Cpu => "cpu".to_owned(),
        Source::Memory => "memory".to_owned(),
        Source::Latency => "latency".to_owned(),
        Source::Rule(name) => format!("rule:{name}"),
    }
}

fn source(field: &Field<'_>) -> Result<Source, BadTrace> {
    let plain = unescape(field.text).unwrap_or_default();
    Ok(match plain.as_str() {
        "cpu" => Source::Cpu,
        "memory" => Source::Memory,
        "latency" => Source::Latency,
        text => match text.strip_prefix("rule:") {
            Some(name) => Source::Rule(name.into()),
            None => return Err(field.bad("is not cpu, memory, latency or rule:NAME")),
        },
    })
}

fn value(field: &Field<'_>) -> Result<f64, BadTrace> {
    field.text.parse().map_err(|_| field.bad("is not a number"))
}

fn rules(field: &Field<'_>) -> Result<Vec<CustomRule>, BadTrace> {
    let parts = field.text.split(';').filter(|part| !part.is_empty());
    parts
        .map(|part| rule(part).ok_or_else(|| field.bad("rules are NAME:TARGET:PROPORTION:NANOS")))
        .collect()
}

fn rule(text: &str) -> Option<CustomRule> {
    let mut parts = text.rsplitn(4, ':');
    let min_interval = Duration::from_nanos(parts.next()?.parse().ok()?);
    let proportion: Decimal = parts.next()?.parse().ok()?;
    let target: Decimal = parts.next()?.parse().ok()?;
    let name: Arc<str> = unescape(parts.next()?)?.into();
    Some(CustomRule { name, target, proportion, min_interval })
}

/// What was written as JSON with the characters of a record's own form escaped.
pub(crate) fn json<T: serde::de::DeserializeOwned>(field: &Field<'_>) -> Result<T, BadTrace> {
    let plain = unescape(field.text).ok_or_else(|| field.bad("is no text"))?;
    serde_json::from_str(&plain).map_err(|error| field.bad(error.to_string()))
}
