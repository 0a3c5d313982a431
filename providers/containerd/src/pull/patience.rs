//! How often, and after which pauses, a registry that fails is asked again.

use super::error::{PullError, may_pass};
use super::progress::{Progress, PullEvent};
use super::registries::Registries;
use crate::error::Failure;

/// What is left of the patience with one thing that is asked for.
pub(crate) struct Patience<'a> {
    registries: &'a Registries,
    progress: &'a Progress<'a>,
    failed: u32,
}

impl<'a> Patience<'a> {
    pub(crate) fn new(registries: &'a Registries, progress: &'a Progress<'a>) -> Self {
        Self { registries, progress, failed: 0 }
    }

    /// Something has come: patience is whole again.
    pub(crate) fn renew(&mut self) {
        self.failed = 0;
    }

    /// Pauses, when another try may help and one is left; else gives the failure back.
    pub(crate) async fn after(&mut self, failure: Failure) -> Result<(), Failure> {
        self.failed += 1;
        if !may_pass(&failure) || self.failed >= self.registries.tries {
            return Err(counted(failure, self.failed));
        }
        let pause = self.registries.pause.saturating_mul(1 << (self.failed - 1).min(16));
        (self.progress)(&PullEvent::Pausing { why: failure.to_string(), pause });
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Does `work` until it is done or patience ends.
    pub(crate) async fn with<T, F: Future<Output = Result<T, Failure>>>(
        mut self,
        mut work: impl FnMut() -> F,
    ) -> Result<T, Failure> {
        loop {
            match work().await {
                Ok(done) => return Ok(done),
                Err(failure) => self.after(failure).await?,
            }
        }
    }
}

fn counted(failure: Failure, tries: u32) -> Failure {
    match failure {
        Failure::Pull(PullError::Away { host, why, .. }) => {
            Failure::Pull(PullError::Away { host, why, tries })
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    fn away() -> Failure {
        Failure::Pull(PullError::Away { host: "h".to_owned(), why: "down".to_owned(), tries: 1 })
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_until_patience_ends() {
        let registries =
            Registries { tries: 4, pause: Duration::from_secs(1), ..Registries::default() };
        let pauses = Mutex::new(Vec::new());
        let progress = |event: &PullEvent| {
            if let PullEvent::Pausing { pause, .. } = event {
                pauses.lock().expect("ours").push(pause.as_secs());
            }
        };
        let ended =
            Patience::new(&registries, &progress).with(|| async { Err::<(), _>(away()) }).await;
        assert!(ended.expect_err("never works").to_string().contains("tried 4 times: down"));
        assert_eq!(*pauses.lock().expect("ours"), [1, 2, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_pass_is_not_tried_again() {
        let asked = Cell::new(0);
        let work = || {
            asked.set(asked.get() + 1);
            async { Err::<(), _>(Failure::Told("no".to_owned())) }
        };
        assert!(Patience::new(&Registries::default(), &|_| {}).with(work).await.is_err());
        assert_eq!(asked.get(), 1);
    }
}
