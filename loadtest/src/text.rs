//! The summary on stdout: hey's sections in hey's order and layout, so that what reads hey reads this,
//! then what hey does not have.
//!
//! A closed loop to one target prints nothing but hey's part. In an open loop the latencies of that part
//! are the corrected ones: they count from when a call was due.

mod ours;

use std::fmt::Write as _;

pub(crate) use ours::kind_text;

use crate::results::{Latency, Results, Tally};

/// Longest bar of the histogram.
const BAR: u64 = 40;

/// The whole summary.
#[must_use]
pub fn summary(results: &Results) -> String {
    let mut text = as_hey(&results.total, results.elapsed);
    text += &ours::sections(results);
    text
}

/// What hey prints, byte by byte where it can be.
///
/// One difference: hey shows the fastest and slowest *call* beside the mean of `DNS+dialup`; here they
/// are those of the dialing.
fn as_hey(total: &Tally, elapsed: f64) -> String {
    let latency = &total.corrected;
    let rate = if elapsed > 0.0 { (total.answered + failed(total)) as f64 / elapsed } else { 0.0 };
    let mut text = String::new();
    let mut line = |line: String| {
        text += &line;
        text.push('\n');
    };
    line(String::new());
    line("Summary:".to_owned());
    line(format!("  Total:\t{elapsed:.4} secs"));
    line(format!("  Slowest:\t{:.4} secs", latency.max));
    line(format!("  Fastest:\t{:.4} secs", latency.min));
    line(format!("  Average:\t{:.4} secs", latency.mean));
    line(format!("  Requests/sec:\t{rate:.4}"));
    line("  ".to_owned());
    if total.bytes > 0 {
        line(format!("  Total data:\t{} bytes", total.bytes));
        line(format!("  Size/request:\t{} bytes", total.bytes / total.answered.max(1)));
    }
    line(String::new());
    line("Response time histogram:".to_owned());
    text += &histogram(latency);
    text += "\n\nLatency distribution:\n";
    text += &distribution(latency);
    text += "\nDetails (average, fastest, slowest):\n";
    for phase in &total.phases {
        let _ = writeln!(
            text,
            "  {}:\t{:.4} secs, {:.4} secs, {:.4} secs",
            phase.name, phase.mean, phase.min, phase.max
        );
    }
    text += "\nStatus code distribution:\n";
    for (status, count) in &total.statuses {
        let _ = writeln!(text, "  [{status}]\t{count} responses");
    }
    text.push('\n');
    if total.failures.is_empty() {
        // hey leaves the room of the section.
        text.push('\n');
    } else {
        text += "Error distribution:\n";
        for (failure, count) in &total.failures {
            let _ = writeln!(text, "  [{count}]\t{}", one_line(failure));
        }
    }
    text + "\n"
}

/// Calls that got no whole answer: answers that a target refuses are in both counts.
fn failed(total: &Tally) -> u64 {
    total.calls.saturating_sub(total.answered).min(total.errors)
}

fn histogram(latency: &Latency) -> String {
    let most = latency.histogram.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let row = |(bound, count): &(f64, u64)| {
        let bar = (count * BAR + most / 2).checked_div(most).unwrap_or(0);
        format!("  {bound:4.3} [{count}]\t|{}\n", "■".repeat(bar as usize))
    };
    latency.histogram.iter().map(row).collect()
}

/// hey's seven percentiles.
fn distribution(latency: &Latency) -> String {
    let shown = [10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0];
    let rows = latency.percentiles.iter().filter(|(percent, _)| shown.contains(percent));
    rows.map(|(percent, seconds)| format!("  {percent:.0}% in {seconds:.4} secs\n")).collect()
}

/// Nothing from outside may draw on the terminal.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests;
