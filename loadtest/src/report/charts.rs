//! The four charts: rate, latency, replicas, errors, over one time axis.

use super::chart::{Chart, Draw, Mark, Series};
use super::scale::Scale;
use crate::expect::seconds_text;
use crate::results::{EventKind, Results, Second};
use crate::text::kind_text;

/// More points than this are put together.
const MOST_POINTS: usize = 960;
/// Colours of functions, one after the other.
const COLOURS: [&str; 6] = ["c1", "c2", "c3", "c4", "c5", "c6"];

pub(super) fn all(results: &Results) -> String {
    let time = Scale::time(length(results));
    let seconds = together(&results.seconds);
    let charts = [
        rate(results, &seconds, &time),
        latency(results, &seconds, &time),
        replicas(results, &time),
        errors(results, &seconds, &time),
    ];
    charts.iter().map(Chart::html).collect()
}

/// As long as anything was seen.
pub(super) fn length(results: &Results) -> f64 {
    let seconds = results.seconds.last().map_or(0.0, |second| f64::from(second.at) + 1.0);
    let samples = results.overlays.iter().filter_map(|overlay| overlay.samples.last());
    let samples = samples.map(|sample| sample.at).fold(0.0, f64::max);
    // The last second is rarely a whole one.
    let ended = if results.elapsed > 0.0 && !results.open_loop {
        results.elapsed.min(seconds)
    } else {
        seconds
    };
    ended.max(samples)
}

/// Some seconds as one: rates are means, latencies the worst.
struct Span {
    at: f64,
    due: f64,
    answered: f64,
    errors: f64,
    /// 50th, 90th, 99th percentile; none when nothing was answered.
    latency: Option<[f64; 3]>,
}

fn together(seconds: &[Second]) -> Vec<Span> {
    let size = seconds.len().div_ceil(MOST_POINTS).max(1);
    let span = |part: &[Second]| {
        let mean = |value: fn(&Second) -> u64| {
            part.iter().map(value).sum::<u64>() as f64 / part.len() as f64
        };
        let worst = |value: fn(&Second) -> f64| part.iter().map(value).fold(0.0, f64::max);
        let answered = mean(|second| second.answered);
        Span {
            at: part.first().map_or(0.0, |second| second.at.into()),
            due: mean(|second| second.due),
            answered,
            errors: part.iter().map(|second| second.errors).sum::<u64>() as f64,
            latency: (answered > 0.0).then(|| {
                [worst(|second| second.p50), worst(|second| second.p90), worst(|second| second.p99)]
            }),
        }
    };
    seconds.chunks(size).map(span).collect()
}

/// Where the load changes, on every chart.
fn step_marks(results: &Results) -> Vec<Mark> {
    let events =
        results.overlays.first().map(|overlay| overlay.events.as_slice()).unwrap_or_default();
    let steps = events.iter().filter(|event| event.kind == EventKind::LoadStep);
    steps.map(|event| Mark { at: event.at, number: None, text: event.text.clone() }).collect()
}

/// A step line holds a second's value to its end.
fn held(spans: &[Span], value: impl Fn(&Span) -> f64, end: f64) -> Vec<(f64, Option<f64>)> {
    let mut points: Vec<_> = spans.iter().map(|span| (span.at, Some(value(span)))).collect();
    points.extend(spans.last().map(|last| (end, Some(value(last)))));
    points
}

fn rate<'a>(results: &Results, spans: &[Span], time: &'a Scale) -> Chart<'a> {
    let most = spans.iter().map(|span| span.due.max(span.answered)).fold(0.0, f64::max);
    let end = results.seconds.last().map_or(0.0, |last| f64::from(last.at) + 1.0);
    let mut series = Vec::new();
    let answered = held(spans, |span| span.answered, end);
    series.push(Series {
        name: "answered".to_owned(),
        class: "achieved",
        draw: Draw::Filled,
        points: answered,
    });
    let name = if results.open_loop { "due" } else { "sent" };
    series.push(Series {
        name: name.to_owned(),
        class: "offered dashed",
        draw: Draw::Step,
        points: held(spans, |span| span.due, end),
    });
    Chart {
        id: "rate",
        title: "Calls a second",
        time,
        scale: Scale::linear(most, 4),
        unit: plain,
        series,
        marks: step_marks(results),
        nothing: None,
    }
}

fn latency<'a>(results: &Results, spans: &[Span], time: &'a Scale) -> Chart<'a> {
    let all =
        || spans.iter().filter_map(|span| span.latency).flatten().filter(|value| *value > 0.0);
    let (least, most) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
    let wide = most / least > 20.0;
    let scale = if wide { Scale::log(least, most) } else { Scale::linear(most, 4) };
    let names = [("p99", "p99"), ("p90", "p90"), ("p50", "p50")];
    let series = names.iter().zip([2_usize, 1, 0]).map(|((name, class), index)| Series {
        name: (*name).to_owned(),
        class,
        draw: Draw::Line,
        points: spans
            .iter()
            .map(|span| (span.at + 0.5, span.latency.map(|values| values[index])))
            .collect(),
    });
    let title = match (results.open_loop, wide) {
        (true, true) => "Latency from when calls were due (log scale)",
        (true, false) => "Latency from when calls were due",
        (false, true) => "Latency (log scale)",
        (false, false) => "Latency",
    };
    let nothing = (most <= 0.0).then_some("nothing was answered");
    Chart {
        id: "latency",
        title,
        time,
        scale,
        unit: tick_seconds,
        series: series.collect(),
        marks: step_marks(results),
        nothing,
    }
}

fn replicas<'a>(results: &Results, time: &'a Scale) -> Chart<'a> {
    let mut series = Vec::new();
    let mut most = 0.0_f64;
    let several = results.overlays.len() > 1;
    for (overlay, colour) in results
        .overlays
        .iter()
        .zip(COLOURS.iter().cycle())
        .filter(|(overlay, _)| !overlay.samples.is_empty())
    {
        let points = |value: fn(&crate::results::Sample) -> u32| {
            let samples = overlay.samples.iter();
            let mut points: Vec<(f64, Option<f64>)> = Vec::new();
            for sample in samples.clone() {
                let value = f64::from(value(sample));
                if points.last().is_none_or(|(_, last)| *last != Some(value)) {
                    points.push((sample.at, Some(value)));
                }
            }
            points.extend(samples.last().map(|last| (last.at, Some(f64::from(value(last))))));
            points
        };
        let (ready, desired) = (points(|sample| sample.ready), points(|sample| sample.desired));
        most = ready.iter().chain(&desired).filter_map(|(_, value)| *value).fold(most, f64::max);
        let named = |what: &str| {
            if several { format!("{} {what}", overlay.function) } else { what.to_owned() }
        };
        let draw = if several { Draw::Step } else { Draw::Filled };
        series.push(Series { name: named("ready"), class: colour, draw, points: ready });
        if !several {
            series.push(Series {
                name: named("wanted"),
                class: "offered dashed",
                draw: Draw::Step,
                points: desired,
            });
        }
    }
    let nothing = series.is_empty().then_some("not watched: add --gateway URL");
    if series.is_empty() {
        series.push(Series {
            name: "ready".to_owned(),
            class: "c1",
            draw: Draw::Step,
            points: vec![(0.0, Some(0.0)), (length(results), Some(0.0))],
        });
    }
    Chart {
        id: "replicas",
        title: "Replicas",
        time,
        scale: Scale::counts(most, 4),
        unit: plain,
        series,
        marks: event_marks(results),
        nothing,
    }
}

/// Events with the numbers of their rows; of many functions only the load steps, or nothing could be read.
fn event_marks(results: &Results) -> Vec<Mark> {
    let mut marks = step_marks(results);
    let [only] = results.overlays.as_slice() else { return marks };
    let numbered =
        only.events.iter().enumerate().filter(|(_, event)| event.kind != EventKind::LoadStep);
    let mut last: Option<f64> = None;
    let near = length(results) / 45.0;
    for (index, event) in numbered {
        // Circles that would lie upon each other say nothing; the table has them all.
        if last.is_some_and(|last| event.at - last < near) {
            continue;
        }
        last = Some(event.at);
        marks.push(Mark {
            at: event.at,
            number: Some(index + 1),
            text: format!("{}: {}", kind_text(event), event.text),
        });
    }
    marks
}

fn errors<'a>(results: &Results, spans: &[Span], time: &'a Scale) -> Chart<'a> {
    let most = spans.iter().map(|span| span.errors).fold(0.0, f64::max);
    let points = spans.iter().map(|span| (span.at, Some(span.errors))).collect();
    let series = vec![Series {
        name: "errors a second".to_owned(),
        class: "errors",
        draw: Draw::Bars,
        points,
    }];
    let nothing = (most <= 0.0).then_some("no errors");
    Chart {
        id: "errors",
        title: "Errors",
        time,
        scale: Scale::counts(most, 4),
        unit: plain,
        series,
        marks: step_marks(results),
        nothing,
    }
}

/// `1,200`, `0.5`.
pub(super) fn plain(value: f64) -> String {
    if value.fract().abs() > 1e-9 {
        let text = format!("{value:.2}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    grouped(value as u64)
}

/// `12,345`.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Marks are round: no idle zeros.
fn tick_seconds(seconds: f64) -> String {
    let short = |value: f64, unit: &str| {
        let text = format!("{value:.2}");
        format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match seconds {
        s if s <= 0.0 => "0".to_owned(),
        s if s < 0.000_999_9 => short(s * 1e6, "µs"),
        s if s < 0.999_9 => short(s * 1e3, "ms"),
        s if s < 600.0 => short(s, "s"),
        s => seconds_text(s),
    }
}
