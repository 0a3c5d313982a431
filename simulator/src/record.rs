//! Records of what a scale loop saw and decided: counts only, no bodies, no headers, no clients.
//!
//! ```text
//! tidegate-record 1
//! config,stable_window=30s,fast_window=6s,…
//! function,AT,NAME,QUIET:ZERO:RAISED:BY_HAND[:HABITS],LABEL=VALUE;LABEL=VALUE
//! look,AT,NAME,CAUSE,REVISION,IN_FLIGHT,WAITING,STARTED,COMPLETED,CONCURRENCY,LAST_END,
//!      DESIRED,READY,PENDING,DRAINING,FROZEN[+CREATED],LIMIT,TO,DEPTH,REASON     (one line)
//! gone,AT,NAME
//! floor, rules, measured, failed, common and memory: see `told.rs`
//! ```
//!
//! Times and the integral of concurrency are nanoseconds; `-` is none. Whoever holds a scale loop may
//! write one; `tidegate simulate` reads it as a trace, and [`crate::replay()`] decides it anew.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use tidegate_autoscaler::{Ask, Config, CustomRule, Depth, Memory, Source};
use tidegate_core::{FunctionId, Moment, Observation, Replicas, format_duration};
use tidegate_idler::CommonRecord;

use crate::scaler::Verdict;
use crate::told::source_text;

/// The first line of a record.
pub const MAGIC: &str = "tidegate-record 1";

/// Writes a record. The first error of the writer is kept and given by [`Recorder::finish`].
pub struct Recorder {
    out: Box<dyn Write + Send>,
    line: String,
    failed: Option<io::Error>,
}

/// Why there was a look.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A nudge, a deadline or a report.
    Look,
    /// Somebody asked.
    Ask(Ask),
}

impl Recorder {
    /// A record of decisions made with these settings.
    pub fn new(out: Box<dyn Write + Send>, config: &Config) -> Self {
        let mut recorder = Self { out, line: String::new(), failed: None };
        recorder.line.push_str(MAGIC);
        recorder.write();
        recorder.line = config_line(config);
        recorder.write();
        recorder
    }

    /// A function was deployed, changed, or was found at start.
    pub fn function(
        &mut self,
        now: Moment,
        function: &FunctionId,
        labels: &BTreeMap<String, String>,
        memory: Option<&Memory>,
    ) {
        self.begin("function", now, function);
        match memory {
            Some(memory) => {
                let zero = memory.zero_millis.map_or("-".to_owned(), |millis| millis.to_string());
                let (raised, by_hand) = (u8::from(memory.raised), u8::from(memory.by_hand));
                self.put(format_args!(",{}:{zero}:{raised}:{by_hand}", memory.quiet_millis));
                if let Some(habits) = &memory.habits {
                    self.put(format_args!(":{}", as_json(habits)));
                }
                self.line.push(',');
            }
            None => self.line.push_str(",-,"),
        }
        for (at, (name, value)) in labels.iter().enumerate() {
            let comma = if at > 0 { ";" } else { "" };
            self.put(format_args!("{comma}{}={}", escape(name), escape(value)));
        }
        self.write();
    }

    /// A function is gone.
    pub fn gone(&mut self, now: Moment, function: &FunctionId) {
        self.begin("gone", now, function);
        self.write();
    }

    /// The function has another least count.
    pub fn floor(&mut self, now: Moment, function: &FunctionId, least: Replicas) {
        self.begin("floor", now, function);
        self.put(format_args!(",{least}"));
        self.write();
    }

    /// The function has other rules.
    pub fn rules(&mut self, now: Moment, function: &FunctionId, rules: &[CustomRule]) {
        self.begin("rules", now, function);
        self.line.push(',');
        for (at, rule) in rules.iter().enumerate() {
            let comma = if at > 0 { ";" } else { "" };
            let (name, nanos) = (escape(&rule.name), rule.min_interval.as_nanos());
            self.put(format_args!("{comma}{name}:{}:{}:{nanos}", rule.target, rule.proportion));
        }
        self.write();
    }

    /// A value was measured, or could not be.
    pub fn measured(
        &mut self,
        now: Moment,
        function: &FunctionId,
        source: &Source,
        value: &Result<f64, String>,
    ) {
        let kind = if value.is_ok() { "measured" } else { "failed" };
        self.begin(kind, now, function);
        self.put(format_args!(",{},", escape(&source_text(source))));
        match value {
            Ok(value) => self.put(format_args!("{value}")),
            Err(why) => self.line.push_str(&escape(why)),
        }
        self.write();
    }

    /// What was known of all functions together at the start.
    pub fn common(&mut self, now: Moment, common: &CommonRecord) {
        self.put(format_args!("common,{},-,{}", now.as_nanos(), as_json(common)));
        self.write();
    }

    /// Memory became short, or is short no longer.
    pub fn memory_is_short(&mut self, now: Moment, short: bool) {
        let word = if short { "short" } else { "enough" };
        self.put(format_args!("memory,{},-,{word}", now.as_nanos()));
        self.write();
    }

    /// Whether the writer gave an error: what follows is not written any more.
    pub fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// A look by itself, and what it came to.
    pub fn look(&mut self, now: Moment, seen: &Observation, verdict: &Verdict) {
        self.decided(now, Cause::Look, seen, verdict);
    }

    /// A look, why there was one, and what it came to.
    pub fn decided(&mut self, now: Moment, cause: Cause, seen: &Observation, verdict: &Verdict) {
        self.begin("look", now, &seen.function);
        self.line.push(',');
        self.line.push_str(&cause_text(cause));
        self.number(Some(seen.revision));
        let load = seen.load.as_ref();
        self.number(load.map(|load| load.in_flight));
        self.number(load.map(|load| load.waiting));
        self.number(load.map(|load| load.started));
        self.number(load.map(|load| load.completed));
        self.number(load.map(|load| load.concurrency_nanos));
        self.number(load.and_then(|load| load.last_end).map(Moment::as_nanos));
        for count in [seen.desired, seen.ready, seen.pending, seen.draining, seen.frozen] {
            self.number(Some(u64::from(count.get())));
        }
        if !seen.created.is_zero() {
            self.put(format_args!("+{}", seen.created));
        }
        self.number(seen.replica_limit.map(u64::from));
        self.number(verdict.change.map(|change| u64::from(change.to.get())));
        let depth = match verdict.change.map(|change| change.depth) {
            None => "-",
            Some(Depth::Removed) => "removed",
            Some(Depth::Created) => "created",
            Some(Depth::Frozen) => "frozen",
        };
        for word in [depth, verdict.label] {
            self.line.push(',');
            self.line.push_str(word);
        }
        self.write();
    }

    /// Everything is written.
    ///
    /// # Errors
    /// The first error of the writer.
    pub fn finish(mut self) -> io::Result<()> {
        match self.failed.take() {
            Some(error) => Err(error),
            None => self.out.flush(),
        }
    }

    fn begin(&mut self, kind: &str, now: Moment, function: &FunctionId) {
        self.line.push_str(kind);
        self.number(Some(now.as_nanos()));
        self.line.push(',');
        self.line.push_str(function.as_str());
    }

    /// A field with a number, or with a dash for none. A live gateway writes fifteen of them at every look, and
    /// formatting them in general took most of its time.
    fn number(&mut self, number: Option<u64>) {
        self.line.push(',');
        let Some(mut rest) = number else { return self.line.push('-') };
        let mut digits = [0; 20];
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.line.push_str(std::str::from_utf8(&digits[first..]).expect("digits are text"));
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        self.line.write_fmt(text).expect("a string takes any text");
    }

    fn write(&mut self) {
        self.line.push('\n');
        if self.failed.is_none() {
            self.failed = self.out.write_all(self.line.as_bytes()).err();
        }
        self.line.clear();
    }
}

fn config_line(config: &Config) -> String {
    let spans = [
        ("stable_window", config.stable_window),
        ("fast_window", config.fast_window),
        ("idle_after", config.idle_after),
        ("warm", config.warm),
        ("start_deadline", config.start_deadline),
    ];
    let spans = spans.map(|(name, span)| format!("{name}={}", format_duration(span)));
    let Config { dry_run_idle, can_freeze, can_create, idle_budget, .. } = config;
    let budget = idle_budget.map_or(String::new(), |hours| format!(",idle_budget={hours}"));
    let spans = spans.join(",");
    let mut line =
        format!("config,{spans}{budget},dry_run_idle={dry_run_idle},can_freeze={can_freeze}");
    if *can_create {
        line += &format!(",can_create=true,created={}", format_duration(config.created));
    }
    line
}

fn cause_text(cause: Cause) -> Cow<'static, str> {
    match cause {
        Cause::Look => "look".into(),
        Cause::Ask(Ask::Wake) => "wake".into(),
        Cause::Ask(Ask::AlertFiring) => "firing".into(),
        Cause::Ask(Ask::AlertResolved) => "resolved".into(),
        Cause::Ask(Ask::Evict(short)) => format!("evict:{}", short.label()).into(),
        Cause::Ask(Ask::Operator(asked)) => format!("operator:{asked}").into(),
    }
}

/// As JSON, which escaping keeps in one field.
fn as_json(what: &impl serde::Serialize) -> String {
    escape(&serde_json::to_string(what).expect("plain numbers with text keys"))
}

/// What would end a field or a line, as `%` and two digits.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | ',' | ';' | '=' | '\n' | '\r') {
            let _ = write!(escaped, "%{:02x}", c as u32);
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// What [`escape`] made of a text; none when it made nothing of the kind.
pub(crate) fn unescape(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        plain.push(char::from(u8::from_str_radix(code, 16).ok()?));
        plain.push_str(rest);
    }
    Some(plain)
}
