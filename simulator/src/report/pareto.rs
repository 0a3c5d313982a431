//! Cold starts against idle time: which policies are worth having.
//!
//! A policy is on the front when no other has fewer cold starts for the same idle time or less. The
//! clairvoyant is shown but does not count: nobody can have it.

use std::fmt::Write;

use serde::Serialize;

use super::html::{HEIGHT, WIDTH, escape};
use super::{PolicyReport, Report};

/// Fewer policies than this make no curve.
const LEAST: usize = 3;
/// Knows the trace beforehand.
const ORACLE: &str = "oracle";
const LEFT: f64 = 60.0;
const RIGHT: f64 = 150.0;
const BOTTOM: f64 = 34.0;
const TOP: f64 = 12.0;
const COLOURS: [&str; 6] = ["#0969da", "#cf222e", "#1a7f37", "#8250df", "#bf8700", "#57606a"];

/// What one policy gives for its idle time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tradeoff {
    /// The policy's name.
    pub policy: String,
    /// Who decides; what stands before the first colon is the family whose settings make one curve.
    pub scaler: String,
    /// Replicas ready with nothing to do, over time, in hours a day.
    pub idle_replica_hours_a_day: f64,
    /// Share of calls that found nothing ready.
    pub cold_share: f64,
    /// Mean of the functions' own shares.
    pub cold_share_per_function: f64,
    /// Whether no other has fewer cold starts for the same idle time or less, the clairvoyant left out.
    pub on_front: bool,
}

/// All policies by rising idle time.
pub(super) fn tradeoffs(policies: &[PolicyReport], seconds: f64) -> Vec<Tradeoff> {
    let days = (seconds / 86_400.0).max(1e-9);
    let mut all: Vec<Tradeoff> = policies
        .iter()
        .map(|one| Tradeoff {
            policy: one.name.clone(),
            scaler: one.scaler.clone(),
            idle_replica_hours_a_day: one.idle_replica_seconds / 3600.0 / days,
            cold_share: one.cold_share,
            cold_share_per_function: one.cold_share_per_function,
            on_front: false,
        })
        .collect();
    all.sort_by(|a, b| {
        let idle = a.idle_replica_hours_a_day.total_cmp(&b.idle_replica_hours_a_day);
        idle.then(a.cold_share.total_cmp(&b.cold_share))
    });
    let mut least = f64::INFINITY;
    for one in all.iter_mut().filter(|one| one.scaler != ORACLE) {
        one.on_front = one.cold_share < least;
        least = least.min(one.cold_share);
    }
    all
}

impl Report {
    /// Headings and rows of the trade-off, by rising idle time; none with too few policies for a curve or
    /// where nothing is ever cold.
    pub fn tradeoff_table(&self) -> Option<(Vec<String>, Vec<Vec<String>>)> {
        if !self.has_curve() {
            return None;
        }
        let headings = ["policy", "idle h/day", "cold %", "mean of functions %", "front"];
        let rows = self.tradeoffs.iter().map(|one| {
            vec![
                one.policy.clone(),
                format!("{:.2}", one.idle_replica_hours_a_day),
                format!("{:.3}", 100.0 * one.cold_share),
                format!("{:.2}", 100.0 * one.cold_share_per_function),
                if one.on_front { "yes" } else { "" }.to_owned(),
            ]
        });
        Some((headings.map(str::to_owned).to_vec(), rows.collect()))
    }

    fn has_curve(&self) -> bool {
        self.tradeoffs.len() >= LEAST && self.tradeoffs.iter().any(|one| one.cold_share > 0.0)
    }
}

/// Where a value stands in the picture: round steps from nothing to just above the most.
struct Scale {
    idle: (f64, u32),
    cold: (f64, u32),
}

impl Scale {
    fn of(tradeoffs: &[Tradeoff]) -> Self {
        let most = |of: fn(&Tradeoff) -> f64| tradeoffs.iter().map(of).fold(0.0, f64::max);
        Self {
            idle: steps(most(|one| one.idle_replica_hours_a_day)),
            cold: steps(most(|one| 100.0 * one.cold_share)),
        }
    }

    fn x(&self, idle: f64) -> f64 {
        let (step, count) = self.idle;
        LEFT + (WIDTH - LEFT - RIGHT) * idle / (step * f64::from(count))
    }

    fn y(&self, cold: f64) -> f64 {
        let (step, count) = self.cold;
        TOP + (HEIGHT - BOTTOM - TOP) * (1.0 - cold / (step * f64::from(count)))
    }
}

/// A round step and how many of them reach the most.
fn steps(most: f64) -> (f64, u32) {
    let most = most.max(1e-6);
    let mut size = 1e-9;
    loop {
        for part in [1.0, 2.0, 5.0] {
            let step: f64 = size * part;
            let count = (most / step).ceil();
            if count <= 6.0 {
                return (step, count as u32);
            }
        }
        size *= 10.0;
    }
}

/// The curve of each family and its table; nothing where there is no curve.
pub(super) fn html(report: &Report) -> String {
    let Some((headings, rows)) = report.tradeoff_table() else { return String::new() };
    let scale = Scale::of(&report.tradeoffs);
    let mut svg = format!(
        "<h2>Cold starts against idle time</h2>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"cold starts against idle time\">"
    );
    svg += &axes(&scale);
    let family = |one: &Tradeoff| one.scaler.split(':').next().unwrap_or_default().to_owned();
    let mut families: Vec<String> = report.tradeoffs.iter().map(family).collect();
    families.sort();
    families.dedup();
    let mut labels = Labels::default();
    for (at, name) in families.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let of: Vec<&Tradeoff> =
            report.tradeoffs.iter().filter(|one| family(one) == *name).collect();
        svg += &curve(&of, colour, &scale, &mut labels);
    }
    svg += "</svg>\n<p>Lower and further left is better. A ring is on the front: nobody but the clairvoyant has \
            fewer cold starts for as little idle time.</p>\n";
    svg + &super::html::table_of(&headings, &rows)
}

fn axes(scale: &Scale) -> String {
    let mut svg = String::new();
    for step in 0..=scale.cold.1 {
        let cold = scale.cold.0 * f64::from(step);
        let y = scale.y(cold);
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{:.0}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{} %</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y + 4.0,
            short(cold),
        );
    }
    for step in 0..=scale.idle.1 {
        let idle = scale.idle.0 * f64::from(step);
        let _ = write!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{} h/day</text>",
            scale.x(idle),
            HEIGHT - BOTTOM + 18.0,
            short(idle),
        );
    }
    svg
}

fn curve(points: &[&Tradeoff], colour: &str, scale: &Scale, labels: &mut Labels) -> String {
    let mut svg = String::new();
    let at =
        |one: &Tradeoff| (scale.x(one.idle_replica_hours_a_day), scale.y(100.0 * one.cold_share));
    let places: Vec<String> = points
        .iter()
        .map(|one| {
            let (x, y) = at(one);
            format!("{x:.1},{y:.1}")
        })
        .collect();
    let _ = write!(
        svg,
        "<polyline points=\"{}\" style=\"fill:none;stroke:{colour};stroke-width:1.2\"/>",
        places.join(" ")
    );
    for one in points {
        let (x, y) = at(one);
        let fill = if one.on_front { "none" } else { colour };
        let _ = write!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" style=\"fill:{fill};stroke:{colour};stroke-width:1.5\"><title>{}</title></circle>",
            escape(&one.policy),
        );
        if let Some(y) = labels.place(x, y) {
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
                x + 7.0,
                escape(&one.policy)
            );
        }
    }
    svg
}

/// Where labels stand already, so that none covers another.
#[derive(Default)]
struct Labels(Vec<(f64, f64)>);

impl Labels {
    /// The height of a label beside this point, if there is room near it.
    fn place(&mut self, x: f64, y: f64) -> Option<f64> {
        const NEAR: f64 = 80.0;
        const LINE: f64 = 12.0;
        let free = |wanted: &f64| {
            self.0.iter().all(|(left, top)| (left - x).abs() > NEAR || (top - wanted).abs() >= LINE)
        };
        let y = [y - 5.0, y + 13.0, y - 17.0, y + 25.0]
            .into_iter()
            .find(|wanted| free(wanted) && (10.0..HEIGHT - BOTTOM).contains(wanted))?;
        self.0.push((x, y));
        Some(y)
    }
}

/// Three figures that matter.
fn short(value: f64) -> String {
    let places = match value {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.places$}");
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{short, steps};

    #[test]
    fn steps_are_round_and_reach_the_most() {
        for (most, step, count) in
            [(41.9, 10.0, 5), (410.0, 100.0, 5), (0.5, 0.1, 5), (6.0, 1.0, 6)]
        {
            let (found, steps) = steps(most);
            assert!((found - step).abs() < 1e-9 * step, "{most}: {found}");
            assert_eq!(steps, count, "{most}");
        }
    }

    #[test]
    fn figures_of_an_axis_are_short() {
        assert_eq!(short(0.0), "0");
        assert_eq!(short(0.25), "0.25");
        assert_eq!(short(12.04), "12");
        assert_eq!(short(1200.4), "1200");
    }
}
