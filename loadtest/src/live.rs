//! How it goes, while it goes: a screen on a terminal, else a line a second on stderr.
//!
//! Neither takes part in the run; both only read [`Progress`].

mod screen;
mod terminal;

use std::io::{self, Write as _};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::expect::seconds_text;
use crate::progress::Progress;
use crate::results::{Sample, Second, Tally};

pub use terminal::Screen;

/// Four pictures a second.
const FRAME: Duration = Duration::from_millis(250);
const SECOND: Duration = Duration::from_secs(1);
/// A second is told of a little after its end.
const AFTER: Duration = Duration::from_millis(200);

/// What is shown, taken from the progress at one moment.
#[derive(Clone, Debug, Default)]
pub struct View {
    pace: String,
    target: String,
    elapsed: Duration,
    end: Option<Duration>,
    calls: Option<u64>,
    /// Whether calls are due by a schedule.
    open: bool,
    seconds: Vec<Second>,
    total: Tally,
    ended: bool,
    functions: Vec<Function>,
}

/// One watched function.
#[derive(Clone, Debug, Default)]
struct Function {
    name: String,
    now: Sample,
    /// Ready replicas, a value a second.
    ready: Vec<u64>,
    /// Seconds ago, and what.
    decision: Option<(f64, String)>,
    problem: Option<String>,
}

impl View {
    /// What there is to show now.
    #[must_use]
    pub fn of(progress: &Progress) -> Self {
        let elapsed = progress.elapsed();
        let so_far = progress.so_far();
        let mut view = Self {
            pace: progress.pace.clone(),
            target: progress.target.clone(),
            elapsed,
            end: progress.end,
            calls: progress.calls,
            open: progress.open,
            seconds: so_far.seconds.clone(),
            total: so_far.total.clone(),
            ended: so_far.ended,
            functions: Vec::new(),
        };
        drop(so_far);
        let board = progress.board.lock();
        view.functions = board
            .iter()
            .map(|watched| Function {
                name: watched.function.clone(),
                now: watched.samples.last().cloned().unwrap_or_default(),
                ready: by_second(&watched.samples),
                decision: watched.decisions.last().map(|last| {
                    let text = format!("{} → {}: {}", last.from, last.to, last.why);
                    (elapsed.as_secs_f64() - last.at, text)
                }),
                problem: watched.problem.clone(),
            })
            .collect();
        view
    }

    /// The line of a second.
    #[must_use]
    pub fn line(&self) -> String {
        let second = self.seconds.last().cloned().unwrap_or_default();
        // Of the same second as what was sent: the rate of this moment would not compare.
        let offered = if self.open { format!("  offered {}/s", second.due) } else { String::new() };
        let load = match self.ended {
            true => "  load ended".to_owned(),
            false => format!(
                "{offered}  sent {}/s  answered {}/s  errors {}  p50 {}  p99 {}",
                second.sent,
                second.answered,
                self.total.errors,
                latency_text(second.answered, second.p50),
                latency_text(second.answered, second.p99),
            ),
        };
        let replicas = |function: &Function| {
            let Sample { desired, ready, in_flight, waiting, .. } = function.now;
            let count = |name: &str, value: Option<f64>| {
                value.map(|value| format!(", {value:.0} {name}")).unwrap_or_default()
            };
            format!(
                "  {}: {ready} of {desired} ready{}{}",
                function.name,
                count("in flight", in_flight),
                count("waiting", waiting)
            )
        };
        let replicas: String = self.functions.iter().map(replicas).collect();
        format!("{:>5}s{load}{replicas}", self.elapsed.as_secs())
    }
}

/// A latency, or that there was none.
fn latency_text(answered: u64, seconds: f64) -> String {
    if answered > 0 { seconds_text(seconds) } else { "-".to_owned() }
}

/// The last sample of every second, holes filled.
fn by_second(samples: &[Sample]) -> Vec<u64> {
    let mut values: Vec<u64> = Vec::new();
    for sample in samples {
        let second = sample.at.max(0.0) as usize;
        let last = values.last().copied().unwrap_or(0);
        values.resize(values.len().max(second + 1), last);
        values[second] = sample.ready.into();
    }
    values
}

/// Writes a line a second; never ends.
pub async fn lines(progress: &Progress) {
    tokio::time::sleep(AFTER).await;
    let mut ticks = interval(SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Comes at once.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        // Nobody who reads stderr any more is no reason to stop the load.
        let _ = writeln!(io::stderr(), "{}", crate::text::one_line(&View::of(progress).line()));
    }
}

/// Draws on the screen; never ends. Errors of the terminal end only the drawing.
pub async fn draw(screen: &mut Screen, progress: &Progress) {
    let mut ticks = interval(FRAME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if screen.draw(&View::of(progress)).is_err() {
            return std::future::pending().await;
        }
    }
}

#[cfg(test)]
mod tests;
