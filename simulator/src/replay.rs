//! A record decided anew: the same observations, the same calls of the autoscaler.
//!
//! With the policy that it was recorded with every decision must come out as it was. Where one does not,
//! the line is named.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::time::Duration;

use serde::Serialize;
use tidegate_autoscaler::{Ask, Autoscaler, Config, Depth, Memory};
use tidegate_core::{FunctionId, Load, Moment, Observation, Policy, Replicas, parse_duration};
use tidegate_idler::Shortage;

use crate::hash::Fnv;
use crate::record::{Cause, MAGIC, unescape};
use crate::scaler::{Change, Verdict};
use crate::told::{Told, json};
use crate::trace::BadTrace;
use crate::trace::csv::{Field, Row, Rows};

/// What came of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// Looks that were recorded.
    pub looks: u64,
    /// Of them those that changed a count.
    pub changes: u64,
    /// Hash of the decision log that was recorded.
    pub recorded: String,
    /// Hash of the decision log that came out now.
    pub replayed: String,
    /// The first decisions that differ, at most ten.
    pub mismatches: Vec<Mismatch>,
}

/// A decision that came out differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// Line of the record.
    pub line: u64,
    /// What was recorded.
    pub recorded: String,
    /// What came out.
    pub replayed: String,
}

/// One line of a record.
pub(crate) enum Line {
    Config(Box<Config>),
    Function {
        now: Moment,
        id: FunctionId,
        labels: BTreeMap<String, String>,
        memory: Option<Box<Memory>>,
    },
    Look(Box<Look>),
    Gone(FunctionId),
    Told(Told),
}

pub(crate) struct Look {
    pub now: Moment,
    pub cause: Cause,
    pub seen: Observation,
    /// The change and the label that were recorded.
    pub change: Option<Change>,
    pub label: String,
}

const MOST_MISMATCHES: usize = 10;
const LOOK_FIELDS: usize = 20;

/// Decides a record anew. `file` is the name that errors give.
///
/// # Errors
/// When the record cannot be read.
pub fn replay(file: &str, input: impl BufRead) -> Result<Replayed, BadTrace> {
    let mut rows = Rows::new(file, input);
    let mut replay = Replay::default();
    let mut number = 0;
    while let Some(row) = rows.next()? {
        number += 1;
        if number == 1 {
            if row.text() != MAGIC {
                return Err(row.bad(format!("a record begins with {MAGIC:?}")));
            }
            continue;
        }
        let at = row.line();
        replay.take(at, read_line(row)?, row)?;
    }
    Ok(replay.finish())
}

#[derive(Default)]
struct Replay {
    autoscaler: Option<Autoscaler>,
    config: Config,
    done: Replayed,
    logs: BTreeMap<FunctionId, (Fnv, Fnv)>,
}

impl Replay {
    fn take(&mut self, at: u64, line: Line, row: Row<'_>) -> Result<(), BadTrace> {
        if let Line::Config(config) = line {
            self.config = *config;
            return Ok(());
        }
        let config = &self.config;
        let autoscaler = self.autoscaler.get_or_insert_with(|| Autoscaler::new(config.clone()));
        match line {
            Line::Function { now, id, labels, memory } => {
                let (policy, _) = Policy::from_labels(&labels).map_err(|bad| {
                    row.bad(bad.first().map(ToString::to_string).unwrap_or_default())
                })?;
                autoscaler.insert(now, id, policy, memory.map(|memory| *memory));
            }
            Line::Gone(id) => autoscaler.remove(&id),
            Line::Told(told) => told.tell(autoscaler),
            Line::Config(_) => {}
            Line::Look(look) => {
                let decision = match look.cause {
                    Cause::Look => autoscaler.decide(look.now, &look.seen),
                    Cause::Ask(ask) => autoscaler.ask(look.now, &look.seen, ask),
                };
                self.compare(at, &look, Verdict::from(decision));
            }
        }
        Ok(())
    }

    fn compare(&mut self, line: u64, look: &Look, verdict: Verdict) {
        self.done.looks += 1;
        self.done.changes += u64::from(look.change.is_some());
        let (recorded, replayed) = self.logs.entry(look.seen.function.clone()).or_default();
        let from = look.seen.desired;
        note(recorded, look.now, from, look.change, &look.label);
        note(replayed, look.now, from, verdict.change, verdict.label);
        let same = look.change == verdict.change && look.label == verdict.label;
        if !same && self.done.mismatches.len() < MOST_MISMATCHES {
            self.done.mismatches.push(Mismatch {
                line,
                recorded: text(look.change, &look.label),
                replayed: text(verdict.change, verdict.label),
            });
        }
    }

    fn finish(mut self) -> Replayed {
        let of = |one: fn(&(Fnv, Fnv)) -> Fnv| {
            crate::log::whole(self.logs.iter().map(|(id, logs)| (id.as_str(), one(logs))))
        };
        (self.done.recorded, self.done.replayed) = (of(|logs| logs.0), of(|logs| logs.1));
        self.done
    }
}

fn note(hash: &mut Fnv, now: Moment, from: Replicas, change: Option<Change>, label: &str) {
    if let Some(change) = change {
        crate::log::note(hash, now.as_nanos(), from.get(), change.to.get(), label);
    }
}

fn text(change: Option<Change>, label: &str) -> String {
    match change {
        None => format!("stay: {label}"),
        Some(Change { to, depth: Depth::Frozen }) => format!("{to}, frozen: {label}"),
        Some(Change { to, depth: Depth::Created }) => format!("{to}, created: {label}"),
        Some(Change { to, .. }) => format!("{to}: {label}"),
    }
}

// --- lines

pub(crate) fn read_line(row: Row<'_>) -> Result<Line, BadTrace> {
    let fields: Vec<Field<'_>> = row.fields().collect();
    let kind = fields[0];
    if let Some(told) = Told::read(row)? {
        return Ok(Line::Told(told));
    }
    let missing = || row.bad("fields are missing");
    if kind.text == "config" {
        return config(&fields[1..]).map(|config| Line::Config(Box::new(config)));
    }
    let (at, name) = (fields.get(1).ok_or_else(missing)?, fields.get(2).ok_or_else(missing)?);
    let now = Moment::from_nanos(at.parse("a time in nanoseconds")?);
    let id = FunctionId::parse(name.text).map_err(|error| name.bad(error.to_string()))?;
    match kind.text {
        "gone" => Ok(Line::Gone(id)),
        "function" => {
            let memory = memory(fields.get(3).ok_or_else(missing)?)?.map(Box::new);
            let labels = labels(fields.get(4).ok_or_else(missing)?)?;
            Ok(Line::Function { now, id, labels, memory })
        }
        "look" if fields.len() == LOOK_FIELDS => {
            look(now, id, &fields).map(|look| Line::Look(Box::new(look)))
        }
        "look" => Err(row.bad(format!("{} fields where a look has {LOOK_FIELDS}", fields.len()))),
        _ => Err(kind.bad(format!("{:?} is not config, function, look, gone, floor, rules, measured, failed, common or memory", kind.shown()))),
    }
}

fn config(fields: &[Field<'_>]) -> Result<Config, BadTrace> {
    let mut config = Config::default();
    for field in fields {
        let (name, value) = field.text.split_once('=').unwrap_or((field.text, ""));
        let span = |to: &mut Duration| {
            *to = parse_duration(value).map_err(|error| field.bad(error.to_string()))?;
            Ok(())
        };
        let flag = |to: &mut bool| {
            *to = value.parse().map_err(|_| field.bad("is not true or false"))?;
            Ok(())
        };
        match name {
            "stable_window" => span(&mut config.stable_window)?,
            "fast_window" => span(&mut config.fast_window)?,
            "idle_after" => span(&mut config.idle_after)?,
            "warm" => span(&mut config.warm)?,
            "created" => span(&mut config.created)?,
            "start_deadline" => span(&mut config.start_deadline)?,
            "idle_budget" => {
                config.idle_budget =
                    Some(value.parse().map_err(|_| field.bad("is not a decimal number"))?);
            }
            "dry_run_idle" => flag(&mut config.dry_run_idle)?,
            "can_freeze" => flag(&mut config.can_freeze)?,
            "can_create" => flag(&mut config.can_create)?,
            // A later version may know more.
            _ => {}
        }
    }
    Ok(config)
}

fn memory(field: &Field<'_>) -> Result<Option<Memory>, BadTrace> {
    if field.text == "-" {
        return Ok(None);
    }
    let bad = || field.bad("is not QUIET:ZERO:RAISED:BY_HAND");
    let mut parts = field.text.splitn(5, ':');
    let mut part = || parts.next().ok_or_else(bad);
    let (quiet, zero, raised, by_hand) = (part()?, part()?, part()?, part()?);
    let habits = parts.next().map(|text| json(&field.part(text))).transpose()?;
    let zero_millis = if zero == "-" { None } else { Some(zero.parse().map_err(|_| bad())?) };
    Ok(Some(Memory {
        quiet_millis: quiet.parse().map_err(|_| bad())?,
        zero_millis,
        raised: raised == "1",
        by_hand: by_hand == "1",
        habits,
        ..Memory::default()
    }))
}

fn labels(field: &Field<'_>) -> Result<BTreeMap<String, String>, BadTrace> {
    let mut labels = BTreeMap::new();
    for label in field.text.split(';').filter(|label| !label.is_empty()) {
        let pair = label
            .split_once('=')
            .and_then(|(name, value)| Some((unescape(name)?, unescape(value)?)));
        let (name, value) = pair.ok_or_else(|| field.bad("labels are NAME=VALUE;NAME=VALUE"))?;
        labels.insert(name, value);
    }
    Ok(labels)
}

fn look(now: Moment, function: FunctionId, fields: &[Field<'_>]) -> Result<Look, BadTrace> {
    let number = |at: usize| fields[at].parse::<u64>("a whole number");
    let maybe = |at: usize| if fields[at].text == "-" { Ok(None) } else { number(at).map(Some) };
    let count = |at: usize| fields[at].parse("a count of replicas").map(Replicas::new);
    let load = match maybe(5)? {
        None => None,
        Some(in_flight) => Some(Load {
            in_flight,
            waiting: number(6)?,
            started: number(7)?,
            completed: number(8)?,
            concurrency_nanos: number(9)?,
            last_end: maybe(10)?.map(Moment::from_nanos),
        }),
    };
    let limit = match fields[16].text {
        "-" => None,
        _ => Some(fields[16].parse("a limit of calls")?),
    };
    let depth = match fields[18].text {
        "frozen" => Depth::Frozen,
        "created" => Depth::Created,
        _ => Depth::Removed,
    };
    let (frozen, created) = at_rest(&fields[15])?;
    let to = if fields[17].text == "-" { None } else { Some(count(17)?) };
    Ok(Look {
        now,
        cause: cause(&fields[3])?,
        seen: Observation {
            function,
            revision: number(4)?,
            load,
            desired: count(11)?,
            ready: count(12)?,
            pending: count(13)?,
            draining: count(14)?,
            frozen,
            created,
            replica_limit: limit,
        },
        change: to.map(|to| Change { to, depth }),
        label: fields[19].text.to_owned(),
    })
}

/// How many are frozen, and how many created: `FROZEN` or `FROZEN+CREATED`.
fn at_rest(field: &Field<'_>) -> Result<(Replicas, Replicas), BadTrace> {
    let (frozen, created) = field.text.split_once('+').unwrap_or((field.text, "0"));
    let count = |text| field.part(text).parse("a count of replicas").map(Replicas::new);
    Ok((count(frozen)?, count(created)?))
}

fn cause(field: &Field<'_>) -> Result<Cause, BadTrace> {
    Ok(match field.text {
        "look" => Cause::Look,
        "wake" => Cause::Ask(Ask::Wake),
        "firing" => Cause::Ask(Ask::AlertFiring),
        "resolved" => Cause::Ask(Ask::AlertResolved),
        text => {
            let short = text.strip_prefix("evict:").and_then(Shortage::from_label);
            if let Some(short) = short {
                return Ok(Cause::Ask(Ask::Evict(short)));
            }
            let count = text.strip_prefix("operator:").and_then(|count| count.parse().ok());
            let what = "is not look, wake, firing, resolved, operator:N or evict:WHY";
            let count = count.ok_or_else(|| field.bad(what))?;
            Cause::Ask(Ask::Operator(Replicas::new(count)))
        }
    })
}
