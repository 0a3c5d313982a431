//! Opening a backend: its state directory, what was kept, and replicas of an earlier run.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use tidegate_core::BadName;
use tokio_util::task::TaskTracker;

use crate::durable;
use crate::error::OpenError;
use crate::function::Function;
use crate::host::{Host, Runner};
use crate::names::Names;
use crate::record::FunctionRecord;
use crate::revision::Revision;
use crate::runtime::{Found, Runtime};
use crate::state::StateDir;

/// What was found.
pub(crate) struct Opened<R: Runtime> {
    pub(crate) host: Arc<Host<R>>,
    pub(crate) names: Names,
    /// Functions with their replicas of an earlier run.
    pub(crate) functions: Vec<WithFound<R>>,
}

type WithFound<R> = (Arc<Function<R>>, Vec<Found<R>>);

/// Takes the directory and reads what was kept; starts nothing.
pub(crate) async fn open<R: Runtime>(
    config: R::Config,
    tasks: TaskTracker,
) -> Result<Opened<R>, OpenError> {
    let runner = Runner::new(R::NAME, tasks);
    let mut settings = R::settings(&config);
    let path = settings.state_dir.clone();
    let state = Arc::new(runner.blocking(move || StateDir::take(&path)).await??);
    settings.state_dir = state.root().to_owned();
    let runtime = R::open(config, &state).await?;
    let kept = runtime.kept().await?;
    let names = Names::new(kept.namespaces, kept.secrets);
    let host = Host::new(runtime, settings, state, runner);
    let mut functions = BTreeMap::new();
    for record in kept.functions {
        let function = function(&host, record).await?;
        functions.insert(function.id.clone(), (function, Vec::new()));
    }
    for found in host.runtime.found().await? {
        match functions.get_mut(&found.function) {
            Some((function, replicas)) if function.has(found.generation) => replicas.push(found),
            _ => host.discard(found),
        }
    }
    let functions: Vec<_> = functions.into_values().collect();
    let logs = functions.iter().map(|(function, _)| function.logs()).collect();
    let inside = host.clone();
    host.blocking(move || remove_strange_logs(&inside, &logs)).await?;
    Ok(Opened { host, names, functions })
}

async fn function<R: Runtime>(
    host: &Arc<Host<R>>,
    record: FunctionRecord,
) -> Result<Arc<Function<R>>, OpenError> {
    let FunctionRecord { created, desired, current, previous } = record;
    let known = |record| Revision::known(&host.runtime, &host.settings, created, record);
    let both = known(current).and_then(|current| Ok((current, previous.map(known).transpose()?)));
    let (current, previous) = both.map_err(|bad: BadName| OpenError::Damaged {
        path: PathBuf::from("record of a function"),
        why: bad.to_string(),
    })?;
    for revision in std::iter::once(&current).chain(&previous) {
        host.runtime.prepare(revision).await?;
    }
    Ok(Function::new(host.clone(), desired, current, previous))
}

/// Logs of functions that were deleted while a crash kept their logs from being removed.
fn remove_strange_logs<R: Runtime>(host: &Host<R>, known: &HashSet<PathBuf>) {
    let all = host.state.all_logs();
    for name in durable::names(&all).unwrap_or_default() {
        let folder = all.join(name);
        for created in durable::names(&folder).unwrap_or_default() {
            let logs = folder.join(created);
            if !known.contains(&logs) {
                let _ = durable::remove_folder(&logs);
            }
        }
        // Only an empty one goes.
        let _ = std::fs::remove_dir(&folder);
    }
}
