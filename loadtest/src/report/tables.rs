//! The page's tables: all that the charts show, in numbers, and how the run was made.

use std::fmt::Write as _;

use super::charts::grouped;
use super::{About, escape};
use crate::expect::seconds_text;
use crate::results::{EventKind, Latency, Results};
use crate::text::kind_text;

/// Expectations, first of all.
pub(super) fn verdict(html: &mut String, results: &Results) {
    if results.interrupted {
        let _ = writeln!(
            html,
            "<p class=\"note\">Interrupted after {:.1} s: this is the load so far.</p>",
            results.elapsed
        );
    }
    if results.expectations.is_empty() {
        return;
    }
    html.push_str("<ul class=\"verdicts\">\n");
    for expectation in &results.expectations {
        let (class, sign, word) =
            if expectation.met { ("met", "✔", "met") } else { ("missed", "✘", "missed") };
        let _ = writeln!(
            html,
            "<li class=\"{class}\"><b>{sign} {word}</b> <code>{}</code> measured {}</li>",
            escape(&expectation.text),
            escape(&expectation.measured)
        );
    }
    html.push_str("</ul>\n");
}

fn at(latency: &Latency, wanted: f64) -> f64 {
    latency
        .percentiles
        .iter()
        .find(|(percent, _)| *percent == wanted)
        .map_or(0.0, |(_, seconds)| *seconds)
}

/// The few numbers one looks for.
pub(super) fn summary(html: &mut String, results: &Results) {
    let total = &results.total;
    let latency = &total.corrected;
    let rate = if results.elapsed > 0.0 { total.answered as f64 / results.elapsed } else { 0.0 };
    let share =
        if total.calls > 0 { total.errors as f64 * 100.0 / total.calls as f64 } else { 0.0 };
    let most = results
        .overlays
        .iter()
        .flat_map(|overlay| &overlay.samples)
        .map(|sample| sample.ready)
        .max();
    let mut cards = vec![
        ("calls", grouped(total.calls), format!("in {}", seconds_text(results.elapsed))),
        (
            "answered a second",
            format!("{rate:.1}"),
            format!("{} answered", grouped(total.answered)),
        ),
        ("p50", seconds_text(at(latency, 50.0)), format!("mean {}", seconds_text(latency.mean))),
        ("p99", seconds_text(at(latency, 99.0)), format!("max {}", seconds_text(latency.max))),
        ("errors", grouped(total.errors), format!("{share:.2} %")),
    ];
    if let Some(most) = most {
        cards.push(("replicas", most.to_string(), "at most, ready".to_owned()));
    }
    html.push_str("<dl class=\"cards\">\n");
    for (name, value, more) in cards {
        let bad = if name == "errors" && results.total.errors > 0 { " class=\"bad\"" } else { "" };
        let _ = writeln!(
            html,
            "<div{bad}><dt>{name}</dt><dd>{}<small>{}</small></dd></div>",
            escape(&value),
            escape(&more)
        );
    }
    html.push_str("</dl>\n");
    if let Some(schedule) = &results.schedule {
        let missing = schedule.due.saturating_sub(schedule.sent);
        if missing > 0 {
            let _ = writeln!(
                html,
                "<p class=\"note\">The schedule was not kept: {} of {} calls that were due were not sent.</p>",
                grouped(missing),
                grouped(schedule.due)
            );
        }
    }
}

/// Scaling events, numbered as on the chart.
pub(super) fn events(html: &mut String, results: &Results) {
    for overlay in results.overlays.iter() {
        let _ = writeln!(html, "<section><h2>Scaling of {}</h2>", escape(&overlay.function));
        if let Some(problem) = &overlay.problem {
            let _ = writeln!(html, "<p class=\"note\">{}</p>", escape(problem));
        }
        html.push_str("<div class=\"wide\"><table class=\"events\">\n<thead><tr><th>#</th><th>at</th><th>after the step</th><th>event</th><th>what</th></tr></thead>\n<tbody>\n");
        for (index, event) in overlay.events.iter().enumerate() {
            let step = event.kind == EventKind::LoadStep;
            let after = event
                .after_step
                .filter(|_| !step)
                .map(|seconds| format!("+{seconds:.2} s"))
                .unwrap_or_default();
            let class = if step { " class=\"step\"" } else { "" };
            let _ = writeln!(
                html,
                "<tr{class}><td>{}</td><td class=\"n\">{:.2} s</td><td class=\"n\">{after}</td><td>{}</td><td>{}</td></tr>",
                index + 1,
                event.at,
                kind_text(event),
                escape(&event.text)
            );
        }
        html.push_str("</tbody></table></div></section>\n");
    }
}

/// Everything else.
pub(super) fn rest(html: &mut String, results: &Results, about: &About) {
    html.push_str("<div class=\"columns\">\n");
    latencies(html, results);
    endings(html, results);
    html.push_str("</div>\n");
    if results.targets.len() > 1 {
        targets(html, results);
    }
    how(html, results, about);
}

fn latencies(html: &mut String, results: &Results) {
    let (due, sent) = (&results.total.corrected, &results.total.uncorrected);
    html.push_str("<section><h2>Latency</h2><table>\n<thead><tr><th></th><th>from due</th><th>from sent</th></tr></thead>\n<tbody>\n");
    let mut row = |name: &str, due: f64, sent: f64| {
        let _ = writeln!(
            html,
            "<tr><th>{name}</th><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            seconds_text(due),
            seconds_text(sent)
        );
    };
    row("min", due.min, sent.min);
    row("mean", due.mean, sent.mean);
    for ((percent, due), (_, sent)) in due.percentiles.iter().zip(&sent.percentiles) {
        row(&format!("p{percent}"), *due, *sent);
    }
    row("max", due.max, sent.max);
    html.push_str("</tbody></table></section>\n");
}

fn endings(html: &mut String, results: &Results) {
    html.push_str("<section><h2>Answers</h2><table>\n<thead><tr><th>status</th><th>calls</th></tr></thead>\n<tbody>\n");
    for (status, count) in &results.total.statuses {
        let _ =
            writeln!(html, "<tr><th>{status}</th><td class=\"n\">{}</td></tr>", grouped(*count));
    }
    for (failure, count) in &results.total.failures {
        let _ = writeln!(
            html,
            "<tr class=\"bad\"><th>{}</th><td class=\"n\">{}</td></tr>",
            escape(failure),
            grouped(*count)
        );
    }
    html.push_str("</tbody></table>\n<h2>Phases</h2><table>\n<thead><tr><th></th><th>mean</th><th>min</th><th>max</th></tr></thead>\n<tbody>\n");
    for phase in &results.total.phases {
        let [mean, min, max] = [phase.mean, phase.min, phase.max].map(seconds_text);
        let _ = writeln!(
            html,
            "<tr><th>{}</th><td class=\"n\">{mean}</td><td class=\"n\">{min}</td><td class=\"n\">{max}</td></tr>",
            escape(phase.name)
        );
    }
    html.push_str("</tbody></table></section>\n");
}

fn targets(html: &mut String, results: &Results) {
    html.push_str("<section><h2>Targets</h2><div class=\"wide\"><table>\n<thead><tr><th>target</th><th>calls</th><th>answered</th><th>errors</th><th>mean</th><th>p50</th><th>p99</th><th>max</th></tr></thead>\n<tbody>\n");
    for tally in &results.targets {
        let latency = &tally.corrected;
        let _ = write!(html, "<tr><th>{}</th>", escape(&tally.name));
        for count in [tally.calls, tally.answered, tally.errors] {
            let _ = write!(html, "<td class=\"n\">{}</td>", grouped(count));
        }
        for seconds in [latency.mean, at(latency, 50.0), at(latency, 99.0), latency.max] {
            let _ = write!(html, "<td class=\"n\">{}</td>", seconds_text(seconds));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div></section>\n");
}

fn how(html: &mut String, results: &Results, about: &About) {
    html.push_str(
        "<section><h2>How it was run</h2><div class=\"wide\"><table class=\"facts\">\n<tbody>\n",
    );
    let mut row = |name: &str, text: &str| {
        let _ = writeln!(html, "<tr><th>{name}</th><td>{}</td></tr>", escape(text));
    };
    row("command", &about.command);
    row("began", &results.started);
    row("pace", &results.pace);
    row(
        "took",
        &format!(
            "{:.2} s, {:.2} CPU seconds of the load tester",
            results.elapsed, results.cpu_seconds
        ),
    );
    if let Some(schedule) = &results.schedule {
        let text = format!(
            "{} of {} calls sent; {} more than 1 ms late, at most {}; {} waited for a free connection",
            grouped(schedule.sent),
            grouped(schedule.due),
            grouped(schedule.late),
            seconds_text(schedule.error.max),
            grouped(schedule.waited)
        );
        row("schedule", &text);
    }
    for note in &about.notes {
        row("note", note);
    }
    row("made by", concat!("tidegate ", env!("CARGO_PKG_VERSION")));
    html.push_str("</tbody></table></div></section>\n");
}
