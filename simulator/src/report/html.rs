//! The report as one page of HTML: tables and drawn charts, nothing loaded from anywhere.

use std::fmt::Write;

use super::{PolicyReport, Report};

pub(super) const WIDTH: f64 = 900.0;
pub(super) const HEIGHT: f64 = 220.0;
const LEFT: f64 = 50.0;
const BOTTOM: f64 = 22.0;

const STYLE: &str = "body{font:14px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
table{border-collapse:collapse;margin:1rem 0}.wide{overflow-x:auto}td{white-space:nowrap}td,th{padding:.15rem .7rem;text-align:right;border-bottom:1px solid #d8dee4}
td:first-child,th:first-child{text-align:left;position:sticky;left:0;background:#fff}svg{width:100%;height:auto}svg text{font-size:11px;fill:#57606a}
.load{stroke:#8c959f;fill:none}.ready{stroke:#0969da;fill:none;stroke-width:1.5}.starting{stroke:#bf8700;fill:none}
.waiting{stroke:#cf222e;fill:none}.frozen{stroke:#8250df;fill:none;stroke-dasharray:4 3}.axis{stroke:#d8dee4}
.key span{margin-right:1rem}.key b{display:inline-block;width:1.5em;border-top:2px solid;vertical-align:middle;margin-right:.4em}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}td,th,.axis{border-color:#30363d;stroke:#30363d}td,th{stroke:none}td:first-child,th:first-child{background:#0d1117}svg text{fill:#8b949e}}";

/// What a line of a chart shows.
type Of = fn(&super::Point) -> f64;

/// One self-contained page.
pub fn html(report: &Report) -> String {
    let mut page = String::new();
    let name = escape(&report.trace.name);
    page += &format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Simulation of {name}</title>\
         <style>{STYLE}</style></head><body>\n<h1>Simulation</h1>\n<p>{name}: {}, {}</p>\n",
        match report.trace.functions {
            1 => "one function".to_owned(),
            more => format!("{more} functions"),
        },
        clock(report.trace.seconds),
    );
    let (headings, rows) = report.table();
    page += &table_of(&headings, &rows);
    page += &super::pareto::html(report);
    for policy in &report.policies {
        page += &section(policy, report.trace.seconds);
    }
    page += "</body></html>\n";
    page
}

pub(super) fn table_of(headings: &[String], rows: &[Vec<String>]) -> String {
    let cells = |tag: &str, row: &[String]| -> String {
        row.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect()
    };
    let mut text = format!(
        "<div class=\"wide\"><table><thead><tr>{}</tr></thead><tbody>\n",
        cells("th", headings)
    );
    for row in rows {
        text += &format!("<tr>{}</tr>\n", cells("td", row));
    }
    text + "</tbody></table></div>\n"
}

fn section(policy: &PolicyReport, seconds: f64) -> String {
    let mut text = format!("<h2>{}</h2>\n{}\n", escape(&policy.name), chart(policy, seconds));
    text += "<p class=\"key\"><span><b style=\"color:#0969da\"></b>replicas ready</span>\
             <span><b style=\"color:#bf8700\"></b>starting</span><span><b style=\"color:#8250df\"></b>frozen</span>\
             <span><b style=\"color:#8c959f\"></b>calls open</span><span><b style=\"color:#cf222e\"></b>waiting</span></p>\n";
    text += "<table><thead><tr><th>Function</th><th>Calls</th><th>Cold</th><th>Errors</th>\
             <th>Replica-seconds</th><th>Idle</th><th>Actions</th><th>Peak</th></tr></thead><tbody>\n";
    for one in &policy.functions {
        let _ = writeln!(
            text,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.0}</td><td>{:.0}</td><td>{}</td><td>{}</td></tr>",
            escape(&one.function),
            one.calls,
            one.cold_starts,
            one.errors,
            one.replica_seconds,
            one.idle_replica_seconds,
            one.actions,
            one.peak,
        );
    }
    text + "</tbody></table>\n"
}

fn chart(policy: &PolicyReport, seconds: f64) -> String {
    let lines: [(&str, Of); 5] = [
        ("load", |point| point.load),
        ("waiting", |point| point.waiting),
        ("frozen", |point| point.frozen),
        ("starting", |point| point.starting),
        ("ready", |point| point.ready),
    ];
    let highest = lines.iter().flat_map(|(_, of)| policy.points.iter().map(of)).fold(1.0, f64::max);
    let x = |at: f64| LEFT + (WIDTH - LEFT) * at / seconds.max(1e-9);
    let y = |value: f64| (HEIGHT - BOTTOM) * (1.0 - value / highest) + 4.0;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"replicas and load over time\">"
    );
    for step in 0..=4 {
        let value = highest * f64::from(step) / 4.0;
        let at = y(value);
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{value:.1}</text>",
            LEFT - 6.0,
            at + 4.0,
        );
        let time = seconds * f64::from(step) / 4.0;
        let anchor = if step == 4 { "end" } else { "middle" };
        let _ = write!(
            svg,
            "<text x=\"{:.0}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            x(time),
            HEIGHT - 3.0,
            clock(time),
        );
    }
    for (class, of) in lines {
        if policy.points.iter().all(|point| of(point) == 0.0) {
            continue;
        }
        let mut path = String::new();
        for point in &policy.points {
            let (at, value) = (x(point.at), y(of(point)));
            // A mean holds for its whole span, so lines are steps.
            let _ = match path.is_empty() {
                true => write!(path, "M{at:.1} {value:.1}"),
                false => write!(path, "H{at:.1}V{value:.1}"),
            };
        }
        let _ = write!(svg, "<path class=\"{class}\" d=\"{path}H{WIDTH}\"/>");
    }
    svg + "</svg>"
}

/// Days, hours or minutes, whichever fits.
fn clock(seconds: f64) -> String {
    let (size, unit) = match seconds {
        s if s >= 2.0 * 86_400.0 => (86_400.0, "d"),
        s if s >= 7200.0 => (3600.0, "h"),
        s if s >= 120.0 => (60.0, "min"),
        _ => (1.0, "s"),
    };
    format!("{:.3}", seconds / size).trim_end_matches('0').trim_end_matches('.').to_owned()
        + " "
        + unit
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
