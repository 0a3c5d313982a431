//! The rules of one function in numbers: what was measured, and the formula with them filled in.

use std::time::Duration;

use serde::Serialize;
use tidegate_core::{Decimal, LoadType, Moment, Quantity, Replicas, format_duration};

use crate::config::Settings;
use crate::decision::seconds as span_text;
use crate::function::{Averages, Function};
use crate::kept::Last;
use crate::latency;
use crate::measured::{Measure, Source};
use crate::rule::replicas_for;
use crate::rules::{Answer, Rule, Sight};
use crate::window::Fraction;

/// One measured average.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Average {
    /// Which window.
    pub window: &'static str,
    /// Over how long.
    pub seconds: f64,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
}

/// A value that is measured elsewhere, and what it asks for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeasuredValue {
    /// `cpu`, `memory`, `latency`, or `rule` and its name.
    pub source: String,
    /// The newest value; nothing before there was one.
    pub value: Option<f64>,
    /// Of what; empty for rules.
    pub unit: &'static str,
    /// How old it is.
    pub seconds_ago: Option<f64>,
    /// What a replica should carry, as it was written.
    pub target: String,
    /// What the target is multiplied by.
    pub proportion: String,
    /// What it asks for; nothing while it is not known.
    pub wanted: Option<Replicas>,
    /// Why it is not known.
    pub trouble: Option<String>,
}

/// What is measured, in words.
pub fn unit(load: LoadType) -> &'static str {
    match load {
        LoadType::Rps => "calls/s",
        LoadType::Capacity => "in flight",
        LoadType::Queue => "waiting",
        LoadType::Cpu => "milli-CPU",
        LoadType::Memory => "bytes",
        LoadType::Latency(_) => "s",
    }
}

/// The target as people write it.
pub fn target_text(load: LoadType, target: Decimal) -> String {
    match load {
        LoadType::Memory => memory_text(target.as_f64()),
        LoadType::Latency(percentile) => {
            format!("{percentile}:{}", format_duration(Duration::from_micros(target.millionths())))
        }
        _ => target.to_string(),
    }
}

/// Memory in the unit that fits.
fn memory_text(bytes: f64) -> String {
    const MI: f64 = 1_048_576.0;
    let whole = Quantity::from_nanos(bytes.max(0.0) as u128 * 1_000_000_000);
    let mi = bytes / MI;
    if mi == mi.trunc() {
        format!("{mi}Mi")
    } else if mi >= 0.1 {
        format!("{mi:.1}Mi")
    } else {
        whole.to_string()
    }
}

impl Source {
    fn unit(&self) -> &'static str {
        match self {
            Self::Cpu => unit(LoadType::Cpu),
            Self::Memory => unit(LoadType::Memory),
            Self::Latency => "s",
            Self::Rule(_) => "",
        }
    }

    /// A value with its unit.
    pub fn text(&self, value: f64) -> String {
        match self {
            Self::Cpu => format!("{value:.0} milli-CPU"),
            Self::Memory => memory_text(value),
            Self::Latency => format!("{value:.3}s"),
            Self::Rule(_) => format!("{value:.3}"),
        }
    }

    /// A target as people write it.
    pub fn target(&self, target: Decimal) -> String {
        match self {
            Self::Memory => memory_text(target.as_f64()),
            Self::Latency => format!("{target}s"),
            Self::Cpu | Self::Rule(_) => target.to_string(),
        }
    }
}

pub fn averages(config: &Settings, function: &Function, last: &Last) -> Vec<Average> {
    let average = |window, span: Duration, value, unit| Average {
        window,
        seconds: span.as_secs_f64(),
        value,
        unit,
    };
    let Some(rule) = Rule::of(&function.policy.target) else {
        let rate = function.busy_rate(config).as_f64();
        let busy = average("busy", crate::rule::BUSY_SPAN, rate, "calls/s");
        return if function.is_community() { vec![busy] } else { Vec::new() };
    };
    let unit = unit(rule.load);
    if rule.load == LoadType::Queue {
        let waiting = last.fresh_load().map(|load| load.waiting as f64);
        let now = |waiting| average("now", Duration::ZERO, waiting, unit);
        return waiting.map(now).into_iter().collect();
    }
    let Some(Averages { stable, fast, .. }) = rule.averages(config, function) else {
        return Vec::new();
    };
    vec![
        average("stable", config.stable_window, stable.as_f64(), unit),
        average("fast", config.fast_window, fast.as_f64(), unit),
    ]
}

/// All that is measured elsewhere.
pub fn measured(
    config: &Settings,
    now: Moment,
    function: &Function,
    last: &Last,
) -> Vec<MeasuredValue> {
    let sight = Sight::last(now, last);
    let tell = |measure: &Measure| {
        let newest = measure.newest(now);
        let millis = |age: Duration| age.as_millis() as f64 / 1000.0;
        MeasuredValue {
            source: measure.source.to_string(),
            value: newest.map(|(value, _)| value),
            unit: measure.source.unit(),
            seconds_ago: newest.map(|(_, age)| millis(age)),
            target: measure.source.target(measure.target),
            proportion: measure.proportion.to_string(),
            wanted: measure.answer(config, function, &sight).map(|answer: Answer| answer.up),
            trouble: measure.trouble(now).map(|trouble| trouble.to_string()),
        }
    };
    function.measures.iter().flat_map(|measures| measures.iter()).map(tell).collect()
}

/// The formula of each rule, with its numbers.
pub fn formula(config: &Settings, now: Moment, function: &Function, last: &Last) -> Vec<String> {
    let mut lines = by_load(config, function, last);
    let sight = Sight::last(now, last);
    for measure in function.measures.iter().flat_map(|measures| measures.iter()) {
        lines.extend(by_measure(config, function, measure, &sight));
    }
    lines.extend(experience(config, now, function));
    lines
}

fn by_load(config: &Settings, function: &Function, last: &Last) -> Vec<String> {
    let Some(rule) = Rule::of(&function.policy.target) else { return Vec::new() };
    let Rule { load, target, proportion } = rule;
    let unit = unit(load);
    let line = |name: &str, value: Fraction| {
        let (count, value) = (rule.replicas_for(value), value.as_f64());
        format!("{name}: ceil({value:.3} {unit} / ({target} × {proportion})) = {count}")
    };
    if load == LoadType::Queue {
        let waiting = last.fresh_load().map(|load| Fraction::whole(load.waiting));
        return waiting.map(|waiting| line("now", waiting)).into_iter().collect();
    }
    let Some(Averages { stable, fast, .. }) = rule.averages(config, function) else {
        return Vec::new();
    };
    let over = |name: &str, span| format!("{name} average over {}", format_duration(span));
    vec![
        line(&over("stable", config.stable_window), stable),
        line(&over("fast", config.fast_window), fast),
    ]
}

/// What the counts of a while ago have shown.
fn experience(config: &Settings, now: Moment, function: &Function) -> Option<String> {
    let experience = &function.measures.as_ref()?.experience;
    let (much, left) = experience.too_much(now)?;
    let rate = function.call_rate(config);
    let (keeps, left) = (experience.keeps(now, rate), span_text(left));
    Some(format!(
        "{much:.1} calls/s were too much for one replica, remembered for {left}: {rate:.1} calls/s keep {keeps}"
    ))
}

fn by_measure(
    config: &Settings,
    function: &Function,
    measure: &Measure,
    sight: &Sight<'_>,
) -> Vec<String> {
    let source = &measure.source;
    if let Some(trouble) = measure.trouble(sight.now) {
        return vec![format!("{source} {trouble}")];
    }
    if *source == Source::Latency {
        return by_latency(config, function, measure, sight).into_iter().collect();
    }
    let Measure { target, proportion, .. } = measure;
    let line = |name: &str, load: Fraction| {
        let count = replicas_for(load, *target, *proportion);
        let (value, target) = (source.text(load.as_f64()), source.target(*target));
        format!("{source}, {name}: ceil({value} / ({target} × {proportion})) = {count}")
    };
    let span = format!("mean of {}", format_duration(config.stable_window));
    let mean = measure.mean(config.stable_window).map(|mean| line(&span, mean));
    mean.into_iter().chain(measure.lately().map(|newest| line("now", newest))).collect()
}

fn by_latency(
    config: &Settings,
    function: &Function,
    measure: &Measure,
    sight: &Sight<'_>,
) -> Option<String> {
    let measured = measure.latency(config, function, sight)?;
    let experience = &function.measures.as_ref()?.experience;
    let wanted = latency::answer(sight, &measured, experience).up;
    let Measure { source, target, proportion, .. } = measure;
    let (value, target, desired) =
        (source.text(measured.value), source.target(*target), sight.desired);
    let share = measured.value / measured.goal;
    let mut line = format!(
        "{source} {value} is {share:.2} of {target} × {proportion}: {desired} become {wanted}"
    );
    if !experience.settled(sight, measured.age) {
        line += "; it is not judged before calls of 30s tell of the ready replicas";
    }
    Some(line)
}
