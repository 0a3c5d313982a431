//! One revision of a function: what was said, checked, and turned into what its replicas need.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tidegate_core::{FunctionId, Policy, parse_duration};
use tidegate_provider::{Deployment, ProviderError};

use crate::record::RevisionRecord;
use crate::{Generation, Runtime, Settings};

/// One revision of a function.
#[derive(Debug)]
pub struct Revision<R: Runtime> {
    /// Which one.
    pub generation: Generation,
    /// What was said.
    pub deployment: Arc<Deployment>,
    /// What the backend makes of it.
    pub spec: R::Spec,
    /// Time from SIGTERM to SIGKILL.
    pub grace: Duration,
    /// Most replicas that are kept at zero, frozen or created.
    pub(crate) keep_at_zero: usize,
}

/// A deployment that was checked, on its way to be a revision.
pub(crate) struct Checked<R: Runtime> {
    deployment: Deployment,
    spec: R::Spec,
}

impl<R: Runtime> Checked<R> {
    /// Checks a deployment for what this backend can run.
    pub(crate) async fn new(runtime: &R, deployment: Deployment) -> Result<Self, ProviderError> {
        let spec = runtime.check(&deployment).await?;
        grace(&deployment)?;
        Ok(Self { deployment, spec })
    }

    /// What was said.
    pub(crate) fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// The revision of this generation.
    pub(crate) fn revision(self, generation: Generation, settings: &Settings) -> Revision<R> {
        let Self { deployment, spec } = self;
        let grace = grace(&deployment).ok().flatten().unwrap_or(settings.grace);
        // Labels were checked by the caller; a function without good ones keeps one replica.
        let keep_at_zero = Policy::from_labels(&deployment.labels.to_map())
            .map_or(1, |(policy, _)| policy.bounds.min().get() as usize);
        Revision { generation, deployment: Arc::new(deployment), spec, grace, keep_at_zero }
    }
}

impl<R: Runtime> Revision<R> {
    /// Which function.
    pub fn function(&self) -> &FunctionId {
        &self.deployment.function
    }

    /// Counts updates, from 1.
    pub fn number(&self) -> u64 {
        self.generation.revision
    }

    /// One that was kept, and so was checked when it was deployed.
    pub(crate) fn known(
        runtime: &R,
        settings: &Settings,
        created: SystemTime,
        record: RevisionRecord,
    ) -> Result<Self, tidegate_core::BadName> {
        let generation = Generation { created, revision: record.revision };
        let pin = record.pin.clone();
        let deployment = record.deployment()?;
        let spec = runtime.known(&deployment, pin.as_deref());
        Ok(Checked { deployment, spec }.revision(generation, settings))
    }

    /// What is kept of it.
    pub(crate) fn record(&self, runtime: &R) -> RevisionRecord {
        RevisionRecord::new(self.number(), &self.deployment, runtime.pin(&self.spec))
    }
}

fn grace(deployment: &Deployment) -> Result<Option<Duration>, ProviderError> {
    const NAME: &str = "grace_period";
    let Some(text) = deployment.env.get(NAME).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let seconds = text.parse().map(Duration::from_secs).ok();
    seconds.or_else(|| parse_duration(text).ok()).map(Some).ok_or_else(|| {
        ProviderError::Invalid(format!(
            "{NAME}: {text:?} must be a duration such as 30s or whole seconds"
        ))
    })
}
