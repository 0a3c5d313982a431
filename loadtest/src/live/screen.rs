//! The picture: what is offered and achieved, latency, replicas, the last decision. Fits 80×24.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Gauge, Paragraph, Sparkline};

use super::{Function, View, latency_text};
use crate::expect::seconds_text;
use crate::text::one_line;

/// Styles by meaning; without colour only weight tells.
#[derive(Copy, Clone)]
struct Paint {
    colour: bool,
}

impl Paint {
    fn of(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, view: &View, colour: bool) {
    let paint = Paint { colour };
    let functions = view.functions.len().min(3) as u16;
    let [head, bar, numbers, latency, charts, replicas, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Length(2),
        Constraint::Min(5),
        Constraint::Length(functions * 4),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(heading(view, paint, head.width), head);
    frame.render_widget(progress(view, paint), bar);
    frame.render_widget(Paragraph::new(load(view, paint)), below(numbers));
    frame.render_widget(Paragraph::new(latencies(view, paint)), latency);
    let [rate, slow] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(charts);
    let answered: Vec<u64> = view.seconds.iter().map(|second| second.answered).collect();
    let most = answered.iter().max().copied().unwrap_or(0);
    chart(
        frame,
        rate,
        &format!("answered a second, at most {most}"),
        &answered,
        paint.of(Color::Green),
    );
    let p99: Vec<u64> = view.seconds.iter().map(|second| (second.p99 * 1e6) as u64).collect();
    let most = view.seconds.iter().map(|second| second.p99).fold(0.0, f64::max);
    chart(
        frame,
        slow,
        &format!("p99 a second, at most {}", seconds_text(most)),
        &p99,
        paint.of(Color::Yellow),
    );
    let rows = Layout::vertical(vec![Constraint::Length(4); functions.into()]).split(replicas);
    for (function, area) in view.functions.iter().zip(rows.iter()) {
        replica_row(frame, *area, function, paint);
    }
    let end = if view.ended {
        "the load has ended; watching replicas"
    } else {
        "Ctrl-C ends it and shows the summary"
    };
    frame.render_widget(Paragraph::new(Span::styled(end, paint.dim())), foot);
}

fn below(area: Rect) -> Rect {
    Rect { y: area.y + area.height.min(1), height: area.height.saturating_sub(1), ..area }
}

fn heading(view: &View, paint: Paint, width: u16) -> Paragraph<'static> {
    let text = format!("{} → {}", view.pace, view.target);
    let room = usize::from(width).saturating_sub(15);
    let text = shortened(&one_line(&text), room);
    Paragraph::new(Line::from(vec![Span::styled("tidegate load  ", paint.bold()), Span::raw(text)]))
}

/// As much as there is room for; what was cut off shows.
fn shortened(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(room.saturating_sub(1)).collect();
    short.push('…');
    short
}

fn progress(view: &View, paint: Paint) -> Gauge<'static> {
    let elapsed = clock(view.elapsed);
    let (share, label) = match (view.end, view.calls) {
        (Some(end), _) => (
            view.elapsed.as_secs_f64() / end.as_secs_f64().max(1e-9),
            format!("{elapsed} of {}", clock(end)),
        ),
        (None, Some(calls)) => (
            view.total.calls as f64 / calls.max(1) as f64,
            format!("{elapsed}, {} of {calls} calls", view.total.calls),
        ),
        (None, None) => (0.0, elapsed),
    };
    Gauge::default()
        .ratio(share.clamp(0.0, 1.0))
        .label(label)
        .gauge_style(paint.of(Color::Blue))
        .use_unicode(true)
}

/// `1:05`.
fn clock(span: Duration) -> String {
    format!("{}:{:02}", span.as_secs() / 60, span.as_secs() % 60)
}

fn load(view: &View, paint: Paint) -> Line<'static> {
    let second = view.seconds.last().cloned().unwrap_or_default();
    let mut parts = Vec::new();
    if view.open {
        parts.extend([
            Span::raw("offered "),
            Span::styled(format!("{}/s", second.due), paint.bold()),
            Span::raw("   "),
        ]);
    }
    let errors = if view.total.errors > 0 {
        paint.of(Color::Red).add_modifier(Modifier::BOLD)
    } else {
        paint.bold()
    };
    parts.extend([
        Span::raw("sent "),
        Span::styled(format!("{}/s", second.sent), paint.bold()),
        Span::raw("   answered "),
        Span::styled(format!("{}/s", second.answered), paint.bold()),
        Span::raw("   errors "),
        Span::styled(view.total.errors.to_string(), errors),
        Span::raw(format!("   calls {}", view.total.calls)),
    ]);
    Line::from(parts)
}

fn latencies(view: &View, paint: Paint) -> Vec<Line<'static>> {
    let second = view.seconds.last().cloned().unwrap_or_default();
    let all = &view.total.corrected;
    let at = |wanted: f64| {
        all.percentiles
            .iter()
            .find(|(percent, _)| *percent == wanted)
            .map_or(0.0, |(_, seconds)| *seconds)
    };
    let row = |name: &'static str, answered: u64, values: [f64; 4]| {
        let mut parts = vec![Span::styled(name, paint.dim())];
        for (label, value) in ["p50", "p90", "p99", "max"].into_iter().zip(values) {
            parts.push(Span::raw(format!("   {label} ")));
            parts.push(Span::styled(format!("{:>7}", latency_text(answered, value)), paint.bold()));
        }
        Line::from(parts)
    };
    vec![
        row("last second", second.answered, [second.p50, second.p90, second.p99, second.max]),
        row("so far     ", view.total.answered, [at(50.0), at(90.0), at(99.0), all.max]),
    ]
}

fn block(title: String, paint: Paint) -> Block<'static> {
    Block::bordered().border_type(BorderType::Rounded).border_style(paint.dim()).title(title)
}

/// The newest values, right up to the border.
fn chart(frame: &mut Frame<'_>, area: Rect, title: &str, values: &[u64], style: Style) {
    let block = block(format!(" {title} "), Paint { colour: true });
    let width = usize::from(block.inner(area).width);
    let newest = &values[values.len().saturating_sub(width)..];
    frame.render_widget(Sparkline::default().block(block).data(newest).style(style), area);
}

fn replica_row(frame: &mut Frame<'_>, area: Rect, function: &Function, paint: Paint) {
    let now = &function.now;
    let count = |name: &str, value: Option<f64>| {
        value.map(|value| format!(", {value:.0} {name}")).unwrap_or_default()
    };
    let title = format!(
        " {}: {} of {} ready{}{} ",
        one_line(&function.name),
        now.ready,
        now.desired,
        count("in flight", now.in_flight),
        count("waiting", now.waiting)
    );
    let block = block(title, paint);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [bars, words] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1)]).areas(inner);
    let newest = &function.ready[function.ready.len().saturating_sub(bars.width.into())..];
    frame.render_widget(Sparkline::default().data(newest).style(paint.of(Color::Cyan)), bars);
    let text = match (&function.problem, &function.decision) {
        (Some(problem), _) => Span::styled(one_line(problem), paint.of(Color::Red)),
        (None, Some((ago, decision))) => Span::raw(format!("{ago:.0}s ago {}", one_line(decision))),
        (None, None) => Span::styled("no decision yet", paint.dim()),
    };
    let text = Span::styled(shortened(&text.content, words.width.into()), text.style);
    frame.render_widget(Paragraph::new(text), words);
}
