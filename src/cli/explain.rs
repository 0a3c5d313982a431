//! `tidegate explain NAME`: why a function has as many replicas as it has.
//!
//! The gateway tells what the autoscaler saw, its formula with the numbers in it, the bounds in their
//! order, whether the function idles, and the last decisions with who asked for them.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tidegate_core::format_duration;

use super::Context;
use super::failure::Failure;
use crate::output::Align::{Left, Right};
use crate::output::Paint;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which function, as NAME or NAME.NAMESPACE
    name: String,
    /// How many of the last decisions are shown
    #[arg(long, default_value_t = 10, value_name = "N")]
    last: usize,
    /// Also tell why it does not have N replicas
    #[arg(long, value_name = "N")]
    why_not: Option<u32>,
}

/// What the gateway tells; what an older one leaves out is left out here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Explanation {
    function: String,
    decision: String,
    desired: u32,
    ready: u32,
    pending: u32,
    draining: u32,
    frozen: u32,
    created: u32,
    min: u32,
    max: u32,
    rule: String,
    formula: Vec<String>,
    bounds: Vec<String>,
    idle: String,
    in_flight: u64,
    waiting: u64,
    seen_seconds_ago: f64,
    decisions: Vec<Past>,
    why_not: Option<WhyNot>,
}

/// Why there are not so many.
#[derive(Default, Deserialize)]
#[serde(default)]
struct WhyNot {
    asked: u32,
    because: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Past {
    seconds_ago: f64,
    from: u32,
    to: u32,
    by: String,
    reason: String,
    why: String,
}

/// Prints the explanation.
pub async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let function = context.function(&args.name)?;
    let spoken = Context::spoken(&function);
    let mut path = context.path_of("scaling", &function);
    if let Some(asked) = args.why_not {
        path += &format!("&why-not={asked}");
    }
    let action = format!("explain {spoken}");
    let found: Value =
        context.gateway()?.get(&path, &action).await.map_err(Context::not_deployed)?;
    if context.output.is_json() {
        return context.output.json(&found);
    }
    let told = Explanation::deserialize(found).map_err(|error| {
        Failure::failed(format!("cannot read the explanation of {spoken}")).because(error)
    })?;
    context.output.fields(&told.fields())?;
    if let Some(WhyNot { asked, because }) = &told.why_not {
        context.output.line("")?;
        let title = format!("Why not {asked}?");
        context.output.line(&context.output.paint(Paint::Bold, &title))?;
        for line in because {
            context.output.line(&format!("  {line}"))?;
        }
    }
    print_decisions(context, &told.decisions, args.last)?;
    context.next(&format!("tidegate describe {spoken}"));
    Ok(())
}

impl Explanation {
    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("Function", self.function.clone()),
            ("Decision", self.decision.clone()),
            ("Replicas", self.replicas()),
            ("Load", self.load()),
            ("Rule", self.rule.clone()),
            ("Formula", self.formula.join("\n")),
            ("Bounds", self.bounds.join("\n")),
            ("Idle", self.idle.clone()),
        ];
        // A rule without a target has no formula.
        fields.retain(|(_, text)| !text.is_empty());
        fields
    }

    /// The counts, those of zero left out but the first two.
    fn replicas(&self) -> String {
        let mut text = format!("{} desired, {} ready", self.desired, self.ready);
        for (count, word) in [
            (self.pending, "pending"),
            (self.draining, "draining"),
            (self.frozen, "frozen"),
            (self.created, "created"),
        ] {
            if count > 0 {
                text += &format!(", {count} {word}");
            }
        }
        format!("{text}; minimum {}, maximum {}", self.min, self.max)
    }

    fn load(&self) -> String {
        let ago = ago(self.seen_seconds_ago);
        format!("{} in flight, {} waiting, seen {ago} ago", self.in_flight, self.waiting)
    }
}

/// The newest decision stands last, next to the prompt.
fn print_decisions(context: &Context, decisions: &[Past], last: usize) -> Result<(), Failure> {
    let shown = decisions.get(decisions.len().saturating_sub(last)..).unwrap_or_default();
    if shown.is_empty() {
        return Ok(());
    }
    let rows: Vec<Vec<String>> = shown.iter().map(Past::row).collect();
    let columns = [
        ("AGO", Right),
        ("FROM", Right),
        ("TO", Right),
        ("BY", Left),
        ("REASON", Left),
        ("WHY", Left),
    ];
    context.output.line("")?;
    context.output.line(&context.output.paint(Paint::Bold, "Last decisions"))?;
    context.output.table(&columns, &rows)
}

impl Past {
    fn row(&self) -> Vec<String> {
        let Self { seconds_ago, from, to, by, reason, why } = self;
        vec![
            ago(*seconds_ago),
            from.to_string(),
            to.to_string(),
            by.clone(),
            reason.clone(),
            why.clone(),
        ]
    }
}

/// A time past: to the tenth of a second, and to the second from a minute on.
fn ago(seconds: f64) -> String {
    let span = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let step = if span < Duration::from_secs(60) { 100 } else { 1000 };
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    format_duration(Duration::from_millis(millis / step * step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_past_are_short() {
        assert_eq!(ago(0.26), "200ms");
        assert_eq!(ago(12.34), "12.3s");
        assert_eq!(ago(75.9), "1m15s");
        assert_eq!(ago(f64::NAN), "0s");
    }
}
