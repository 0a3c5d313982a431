//! Asks a service now and then whether it is well, by a command inside it.

use std::future::pending;
use std::time::Duration;

use tidegate_core::service::Health;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::base::Base;
use super::status::Report;
use super::{Definition, container, spec};
use crate::error::Failure;
use crate::{clock, containers};

/// Counts answers.
#[derive(Debug, Default)]
struct Verdict {
    bad: u32,
    well: Option<bool>,
}

/// Asks for as long as the service runs; never ends.
pub(super) async fn watch(base: &Base, definition: &Definition, report: &Report) {
    let Some(health) = &definition.service.health else { return pending().await };
    let (began, mut verdict) = (clock::running(), Verdict::default());
    // Soon, so that others need not wait for a whole interval.
    let mut pause = health.interval.min(health.start_interval);
    for number in 0_u64.. {
        sleep(pause).await;
        let answer = ask(base, definition, health, number).await;
        let starts = began.elapsed() < health.start_period;
        let well = verdict.after(matches!(answer, Ok(0)), starts, health.retries);
        let why = match answer {
            Ok(0) => String::new(),
            Ok(code) => format!("its healthcheck ends with code {code}"),
            Err(failure) => format!("its healthcheck fails: {failure}"),
        };
        debug!(service = definition.service.name, well, "asked whether it is well: {why}");
        report.change(|status| {
            if well == Some(false) && status.healthy != Some(false) {
                warn!(service = definition.service.name, "unwell: {why}");
            }
            status.healthy = well;
            status.detail = if well == Some(false) { why } else { String::new() };
        });
        pause = next(health, starts && well != Some(true));
    }
}

fn next(health: &Health, starts: bool) -> Duration {
    if starts { health.start_interval.min(health.interval) } else { health.interval }
}

async fn ask(
    base: &Base,
    definition: &Definition,
    health: &Health,
    number: u64,
) -> Result<u32, Failure> {
    let id = base.id(&definition.service.name);
    let recorded = container::recorded_spec(base, &id).await?;
    let process = spec::beside(&recorded, &health.command);
    // A command of an earlier run of ours may still be there under its name.
    let exec = format!("health-{}-{number}", std::process::id());
    containers::exec(&base.scope, &id, &exec, &process, health.timeout).await
}

impl Verdict {
    /// Whether the service is well, after one more answer.
    fn after(&mut self, good: bool, starts: bool, retries: u32) -> Option<bool> {
        if good {
            self.bad = 0;
            self.well = Some(true);
        } else if !starts {
            self.bad += 1;
            if self.bad >= retries {
                self.well = Some(false);
            }
        }
        self.well
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_good_answer_makes_well_and_several_bad_ones_unwell() {
        let mut verdict = Verdict::default();
        assert_eq!(verdict.after(false, true, 2), None);
        assert_eq!(verdict.after(false, true, 2), None);
        assert_eq!(verdict.after(false, false, 2), None);
        assert_eq!(verdict.after(false, false, 2), Some(false));
        assert_eq!(verdict.after(true, false, 2), Some(true));
        assert_eq!(verdict.after(false, false, 2), Some(true));
        assert_eq!(verdict.after(false, false, 2), Some(false));
    }
}
