//! One chart as SVG: axes, grid, lines, step lines, bars, marks in time. Colours are classes of the page.

use std::fmt::Write as _;

use super::escape;
use super::scale::Scale;

/// Size of the picture in its own units; the page scales it.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 218.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 24.0;

/// How a series is drawn.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Draw {
    /// A line through the values; a missing one interrupts it.
    Line,
    /// Holds each value until the next.
    Step,
    /// A filled step line.
    Filled,
    /// A bar for each value, so wide in seconds.
    Bars,
}

/// One series.
pub(super) struct Series {
    pub(super) name: String,
    /// Class of its colour.
    pub(super) class: &'static str,
    pub(super) draw: Draw,
    /// Seconds after the start, and the value there.
    pub(super) points: Vec<(f64, Option<f64>)>,
}

/// A moment marked with a line, and a number when the events table speaks of it.
pub(super) struct Mark {
    pub(super) at: f64,
    pub(super) number: Option<usize>,
    pub(super) text: String,
}

/// One chart.
pub(super) struct Chart<'a> {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) time: &'a Scale,
    pub(super) scale: Scale,
    /// Writes a value at the axis.
    pub(super) unit: fn(f64) -> String,
    pub(super) series: Vec<Series>,
    pub(super) marks: Vec<Mark>,
    /// Said in the middle when there is nothing to draw.
    pub(super) nothing: Option<&'static str>,
}

impl Chart<'_> {
    /// A figure with its legend.
    pub(super) fn html(&self) -> String {
        let mut html = format!(
            "<figure id=\"{}\" class=\"chart\">\n<figcaption><h2>{}</h2>",
            self.id,
            escape(self.title)
        );
        for series in &self.series {
            let dashed = if series.draw == Draw::Step && series.class.contains("dashed") {
                " dashed"
            } else {
                ""
            };
            let _ = write!(
                html,
                "<span class=\"key {}{dashed}\"><i></i>{}</span>",
                series.class,
                escape(&series.name)
            );
        }
        let _ = write!(
            html,
            "</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            escape(self.title)
        );
        self.axes(&mut html);
        for mark in &self.marks {
            self.mark(&mut html, mark);
        }
        for series in &self.series {
            self.series(&mut html, series);
        }
        if let Some(nothing) = self.nothing {
            let _ = writeln!(
                html,
                "<text class=\"nothing\" x=\"{}\" y=\"{}\">{}</text>",
                (LEFT + WIDTH - RIGHT) / 2.0,
                HEIGHT / 2.0,
                escape(nothing)
            );
        }
        html + "</svg>\n</figure>\n"
    }

    fn x(&self, at: f64) -> f64 {
        LEFT + self.time.place(at) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.scale.place(value) * (HEIGHT - TOP - BOTTOM)
    }

    fn axes(&self, html: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in &self.scale.ticks {
            let y = self.y(*tick);
            let _ = writeln!(
                html,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
            );
            let _ = writeln!(
                html,
                "<text class=\"tick y\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                escape(&(self.unit)(*tick))
            );
        }
        for tick in &self.time.ticks {
            let x = self.x(*tick);
            let _ = writeln!(
                html,
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom}\" y2=\"{:.1}\"/>",
                bottom + 4.0
            );
            let _ = writeln!(
                html,
                "<text class=\"tick x\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                HEIGHT - 6.0,
                clock(*tick)
            );
        }
        let _ = writeln!(html, "<path class=\"axis\" d=\"M{LEFT} {bottom}H{right}\"/>");
    }

    fn mark(&self, html: &mut String, mark: &Mark) {
        let x = self.x(mark.at);
        let class = if mark.number.is_some() { "event" } else { "step" };
        let _ = write!(html, "<g class=\"mark {class}\"><title>{}</title>", escape(&mark.text));
        let _ = write!(
            html,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{}\"/>",
            HEIGHT - BOTTOM
        );
        if let Some(number) = mark.number {
            let _ = write!(
                html,
                "<circle cx=\"{x:.1}\" cy=\"12\" r=\"9\"/><text x=\"{x:.1}\" y=\"15.5\">{number}</text>"
            );
        }
        html.push_str("</g>\n");
    }

    fn series(&self, html: &mut String, series: &Series) {
        let path = match series.draw {
            Draw::Line => self.line(&series.points),
            Draw::Step | Draw::Filled => self.steps(&series.points),
            Draw::Bars => self.bars(&series.points),
        };
        if series.draw == Draw::Filled
            && let (Some((first, _)), Some((last, _))) =
                (series.points.first(), series.points.last())
        {
            let bottom = HEIGHT - BOTTOM;
            let _ = writeln!(
                html,
                "<path class=\"area {}\" d=\"{path}V{bottom}H{:.1}Z\"/>",
                series.class,
                self.x(*first).min(self.x(*last))
            );
        }
        let shape = if series.draw == Draw::Bars { "bars" } else { "line" };
        let _ = writeln!(
            html,
            "<path class=\"{shape} {}\" d=\"{path}\"><title>{}</title></path>",
            series.class,
            escape(&series.name)
        );
    }

    fn line(&self, points: &[(f64, Option<f64>)]) -> String {
        let mut path = String::new();
        let mut drawing = false;
        for (index, (at, value)) in points.iter().enumerate() {
            let Some(value) = value else {
                drawing = false;
                continue;
            };
            let (x, y) = (self.x(*at), self.y(*value));
            let _ = write!(path, "{}{x:.1} {y:.1}", if drawing { 'L' } else { 'M' });
            let alone = !drawing && points.get(index + 1).is_none_or(|(_, next)| next.is_none());
            if alone {
                // A single value is seen as a dash.
                path.push_str("h1.5");
            }
            drawing = true;
        }
        path
    }

    fn steps(&self, points: &[(f64, Option<f64>)]) -> String {
        let mut path = String::new();
        for (at, value) in points {
            let (x, y) = (self.x(*at), self.y(value.unwrap_or(0.0)));
            match path.is_empty() {
                true => drop(write!(path, "M{x:.1} {y:.1}")),
                false => drop(write!(path, "H{x:.1}V{y:.1}")),
            }
        }
        path
    }

    /// Bars stand on the axis, each up to where the next begins.
    fn bars(&self, points: &[(f64, Option<f64>)]) -> String {
        let bottom = HEIGHT - BOTTOM;
        let gap = points.windows(2).map(|pair| pair[1].0 - pair[0].0).fold(1.0, f64::max);
        let mut path = String::new();
        for (at, value) in points {
            let Some(value) = value.filter(|value| *value > 0.0) else { continue };
            let (x, end) = (self.x(*at), self.x(at + gap));
            let width = (end - x - 0.6).max(1.0);
            let _ = write!(path, "M{x:.1} {bottom}V{:.1}h{width:.1}V{bottom}Z", self.y(value));
        }
        if path.is_empty() { format!("M{LEFT} {bottom}h0.1") } else { path }
    }
}

/// `0`, `30s`, `1:30`, `1:00:00`.
fn clock(seconds: f64) -> String {
    if seconds < 60.0 {
        let text = format!("{seconds:.1}");
        return format!("{}s", text.trim_end_matches('0').trim_end_matches('.'));
    }
    let whole = seconds.round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}
