//! What hey does not have: corrected beside uncorrected latency, how the schedule was kept, targets,
//! scaling events, expectations. No line here reads like one of hey's.

use std::fmt::Write as _;

use super::one_line;
use crate::expect::seconds_text;
use crate::results::{Event, EventKind, Overlay, Results, Schedule};

pub(super) fn sections(results: &Results) -> String {
    let mut text = String::new();
    if results.open_loop {
        latencies(&mut text, results);
    }
    if let Some(schedule) = &results.schedule {
        kept(&mut text, schedule);
    }
    if results.targets.len() > 1 {
        targets(&mut text, results);
    }
    for overlay in &results.overlays {
        replicas(&mut text, overlay);
    }
    if !results.expectations.is_empty() {
        expectations(&mut text, results);
    }
    if results.interrupted {
        let _ = writeln!(
            text,
            "Interrupted after {:.1} s: this is the load so far.\n",
            results.elapsed
        );
    }
    text
}

fn latencies(text: &mut String, results: &Results) {
    let (due, sent) = (&results.total.corrected, &results.total.uncorrected);
    text.push_str("Latency, corrected (from when a call was due; the sections above) and uncorrected (from when it was sent):\n");
    let _ = writeln!(text, "  {:<8}{:>11}{:>13}", "", "corrected", "uncorrected");
    let mut row = |name: &str, due: f64, sent: f64| {
        let _ = writeln!(text, "  {name:<8}{:>11}{:>13}", seconds_text(due), seconds_text(sent));
    };
    row("mean", due.mean, sent.mean);
    for ((percent, due), (_, sent)) in
        due.percentiles.iter().zip(&sent.percentiles).filter(|((percent, _), _)| *percent >= 50.0)
    {
        row(&format!("p{percent}"), *due, *sent);
    }
    row("max", due.max, sent.max);
    text.push('\n');
}

fn kept(text: &mut String, schedule: &Schedule) {
    let share = |count: u64| format!("{:.2} %", count as f64 * 100.0 / schedule.due.max(1) as f64);
    let due = match schedule.due {
        1 => "the one call that was due was sent".to_owned(),
        due => format!("all {due} calls that were due were sent"),
    };
    let missing = schedule.due.saturating_sub(schedule.sent);
    let error = &schedule.error;
    let p99 = error
        .percentiles
        .iter()
        .find(|(percent, _)| *percent == 99.0)
        .map_or(0.0, |(_, seconds)| *seconds);
    text.push_str("Schedule:\n");
    if missing == 0 && schedule.late == 0 {
        let _ = writeln!(text, "  kept: {due}");
    } else if missing > 0 {
        let _ = writeln!(
            text,
            "  NOT kept: {} of {} calls that were due were sent; {missing} ({}) are missing",
            schedule.sent,
            schedule.due,
            share(missing)
        );
    } else {
        let _ = writeln!(text, "  {due}");
    }
    if schedule.late > 0 {
        let _ = writeln!(
            text,
            "  {} ({}) sent more than 1 ms late because this machine was late",
            calls(schedule.late),
            share(schedule.late)
        );
    }
    let _ = writeln!(
        text,
        "  sent after they were due: p99 {}, at most {}",
        seconds_text(p99),
        seconds_text(error.max)
    );
    if schedule.waited > 0 {
        let _ = writeln!(
            text,
            "  {} ({}) waited because all connections were in use (-c); corrected latency counts the wait",
            calls(schedule.waited),
            share(schedule.waited)
        );
    }
    text.push('\n');
}

fn calls(count: u64) -> String {
    if count == 1 { "1 call".to_owned() } else { format!("{count} calls") }
}

fn targets(text: &mut String, results: &Results) {
    let names: Vec<String> = results.targets.iter().map(|tally| one_line(&tally.name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).clamp(6, 60);
    text.push_str("Targets:\n");
    let _ = writeln!(
        text,
        "  {:<width$}{:>9}{:>10}{:>8}{:>9}{:>9}{:>9}{:>9}",
        "target", "calls", "answered", "errors", "mean", "p50", "p99", "max"
    );
    for (name, tally) in names.iter().zip(&results.targets) {
        let latency = &tally.corrected;
        let at = |wanted: f64| {
            latency
                .percentiles
                .iter()
                .find(|(percent, _)| *percent == wanted)
                .map_or(0.0, |(_, seconds)| *seconds)
        };
        let [mean, p50, p99, max] =
            [latency.mean, at(50.0), at(99.0), latency.max].map(seconds_text);
        let _ = writeln!(
            text,
            "  {name:<width$}{:>9}{:>10}{:>8}{mean:>9}{p50:>9}{p99:>9}{max:>9}",
            tally.calls, tally.answered, tally.errors
        );
    }
    text.push('\n');
}

fn replicas(text: &mut String, overlay: &Overlay) {
    let _ = writeln!(text, "Replicas of {}:", one_line(&overlay.function));
    if let Some(problem) = &overlay.problem {
        let _ = writeln!(text, "  {}", one_line(problem));
    }
    if !overlay.samples.is_empty() {
        let _ = writeln!(text, "  ready: {}", timeline(overlay));
    }
    if !overlay.events.is_empty() {
        let _ = writeln!(text, "  {:>8}{:>12}  {:<16}what", "at", "after step", "event");
    }
    for event in &overlay.events {
        let after = event.after_step.filter(|_| event.kind != EventKind::LoadStep);
        let after = after.map(|seconds| format!("+{seconds:.2}s")).unwrap_or_default();
        let _ = writeln!(
            text,
            "  {:>8}{after:>12}  {:<16}{}",
            format!("{:.2}s", event.at),
            kind_text(event),
            one_line(&event.text)
        );
    }
    text.push('\n');
}

/// The first word of an event.
pub(crate) fn kind_text(event: &Event) -> &'static str {
    match event.kind {
        EventKind::LoadStep => "load step",
        EventKind::Decision => "decision",
        EventKind::FirstReady => "first ready",
        EventKind::TargetReached => "target reached",
        EventKind::BackToMinimum => "back to minimum",
        EventKind::ToZero => "to zero",
    }
}

/// Ready replicas wherever they change: `1 from 0s, 4 from 10.6s`.
fn timeline(overlay: &Overlay) -> String {
    const MOST: usize = 30;
    let mut changes: Vec<(f64, u32)> = Vec::new();
    for sample in &overlay.samples {
        if changes.last().is_none_or(|(_, ready)| *ready != sample.ready) {
            changes.push((sample.at, sample.ready));
        }
    }
    let more = changes.len().saturating_sub(MOST);
    let shown: Vec<String> =
        changes.iter().take(MOST).map(|(at, ready)| format!("{ready} from {at:.1}s")).collect();
    let more = if more > 0 { format!(" and {more} more changes") } else { String::new() };
    shown.join(", ") + &more
}

fn expectations(text: &mut String, results: &Results) {
    let width = results
        .expectations
        .iter()
        .map(|expectation| expectation.text.chars().count())
        .max()
        .unwrap_or(0);
    text.push_str("Expectations:\n");
    for expectation in &results.expectations {
        let verdict = if expectation.met { "met" } else { "MISSED" };
        let _ = writeln!(
            text,
            "  {verdict:<8}{:<width$}  measured {}",
            expectation.text, expectation.measured
        );
    }
    text.push('\n');
}
