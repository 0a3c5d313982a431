//! Taking a state directory: alone, after what an earlier run left behind has ended.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::Config;
use crate::cgroup::Cgroups;
use crate::durable;
use crate::error::OpenError;
use crate::function::Function;
use crate::host::{Host, Parts};
use crate::identity::Identity;
use crate::layout::Layout;
use crate::names::{self, Names};
use crate::procfs;
use crate::record::{FunctionRecord, RevisionRecord};
use crate::revision::Revision;

/// What was found in a state directory.
pub(crate) struct Opened {
    pub(crate) host: Arc<Host>,
    pub(crate) names: Names,
    pub(crate) functions: Vec<Arc<Function>>,
}

/// Takes the directory and reads what it holds; starts nothing. Blocks, and must be called in the runtime.
pub(crate) fn open(mut config: Config, tasks: TaskTracker) -> Result<Opened, OpenError> {
    durable::make_folder(&config.state_dir).map_err(OpenError::io("make", &config.state_dir))?;
    let root = config.state_dir.canonicalize().map_err(OpenError::io("find", &config.state_dir))?;
    config.state_dir.clone_from(&root);
    let lock = lock(&root)?;
    let identity = Identity::open(&root)?;
    let cgroups = cgroups(&config, identity.state());
    end_orphans(&identity, cgroups.as_ref());
    let layout = Layout::make(root.clone(), identity.state())
        .map_err(OpenError::io("make folders in", &root))?;
    let names = Names::read(&layout)?;
    let host = Host::new(Parts { config, layout, identity, cgroups, tasks, lock });
    let functions = functions(&host)?;
    remove_strange_logs(&host, &functions);
    Ok(Opened { host, names, functions })
}

/// Takes the directory for as long as the result lives.
fn lock(root: &Path) -> Result<OwnedFd, OpenError> {
    let path = Layout::lock(root);
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file: File = file.map_err(OpenError::io("open", &path))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        let _ = file.read_to_string(&mut holder);
        let holder =
            if holder.trim().is_empty() { "unknown".to_owned() } else { holder.trim().to_owned() };
        return Err(OpenError::InUse { path: root.to_owned(), holder });
    }
    // Only for the message above; the lock itself ends with the process.
    let written = file.set_len(0).and_then(|()| file.rewind());
    let _ = written.and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file.into())
}

/// Control groups, where they can be used.
fn cgroups(config: &Config, state: &str) -> Option<Cgroups> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let found = Cgroups::find(&mounts, state).filter(|_| config.cgroups)?;
    found.clear();
    match found.usable() {
        Ok(()) => Some(found),
        Err(failure) => {
            info!(
                "cgroups cannot be used ({failure}): memory limits hold per process, CPU limits not at all"
            );
            None
        }
    }
}

/// Ends processes of earlier runs: those that did not notice that their parent died, such as frozen ones.
fn end_orphans(identity: &Identity, cgroups: Option<&Cgroups>) {
    let ended = procfs::kill_marked(|replica| identity.owns(replica));
    if ended > 0 {
        warn!("ended {ended} processes that an earlier run left behind");
    }
    if let Some(cgroups) = cgroups {
        cgroups.clear();
    }
}

fn functions(host: &Arc<Host>) -> Result<Vec<Arc<Function>>, OpenError> {
    let folder = host.layout.functions();
    let files = durable::names(&folder).map_err(OpenError::io("read", &folder))?;
    files.into_iter().map(|file| function(host, folder.join(file))).collect()
}

fn function(host: &Arc<Host>, path: PathBuf) -> Result<Arc<Function>, OpenError> {
    let text = std::fs::read(&path).map_err(OpenError::io("read", &path))?;
    let damaged = |why: String| OpenError::Damaged { path: path.clone(), why };
    let record: FunctionRecord =
        serde_json::from_slice(&text).map_err(|bad| damaged(bad.to_string()))?;
    let revision = |record: RevisionRecord| {
        let number = record.revision;
        let deployment = record.deployment().map_err(|bad| damaged(bad.to_string()))?;
        let revision = Revision::known(number, deployment, &host.config);
        let folder = host.layout.mounted_secrets(&revision.deployment.function, number);
        names::mount(&host.layout, &folder, &revision.deployment)
            .map_err(OpenError::io("link secrets in", &folder))?;
        Ok(revision)
    };
    let current = revision(record.current)?;
    let previous = record.previous.map(revision).transpose()?;
    Ok(Function::new(host.clone(), record.created, record.desired, current, previous))
}

/// Logs of functions that were deleted while a crash kept their logs from being removed.
fn remove_strange_logs(host: &Host, functions: &[Arc<Function>]) {
    let known: std::collections::HashSet<PathBuf> =
        functions.iter().map(|function| function.logs()).collect();
    let all = host.layout.all_logs();
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
