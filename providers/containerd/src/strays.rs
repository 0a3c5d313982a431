//! What starts leave behind that were interrupted, by a kill of tidegate or of containerd: tasks whose container
//! is gone, and shims that serve nobody. Nothing but a look at the machine tells of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Arc, Weak};
use std::time::Duration;

use containerd_client::services::v1::ListContainersRequest;
use containerd_client::tonic::Response;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tidegate_provider::ReplicaId;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::collector::WORD;
use crate::connection::{Scope, call};
use crate::containers;
use crate::error::Failure;
use crate::ground::{Ground, labels};
use crate::replica::{REPLICA, STATE};
use crate::shim::NAME as OURS;

/// Between two looks. What is idle at two of them and did nothing in between is no start under way.
const LOOK: Duration = Duration::from_secs(15);

/// A process that was there at a look: its number, and what changes when it is another one or did something.
type Seen = (i32, String);

/// Looks for strays now and then, until told to end.
pub(crate) async fn tend(ground: Weak<Ground>, end: CancellationToken) {
    let mut idle_before = BTreeSet::new();
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let Some(ground) = ground.upgrade() else { return };
        if ground.board.away().is_some() {
            idle_before.clear();
            continue;
        }
        if let Err(failure) = end_tasks(&ground).await {
            debug!("tasks without a container are left for now: {failure}");
        }
        idle_before = end_shims(&ground, idle_before).await;
    }
}

async fn end_tasks(ground: &Arc<Ground>) -> Result<(), Failure> {
    for namespace in ground.namespaces.list().await? {
        end_tasks_of(ground, &ground.namespaces.scope(&namespace.name)).await?;
    }
    Ok(())
}

/// Ends tasks whose container is gone: one was forgotten while its task was still being made. Tasks are only
/// reached through their containers, so that it gets one again for a moment.
pub(crate) async fn end_tasks_of(ground: &Ground, scope: &Scope) -> Result<(), Failure> {
    // A container is there before its task and goes after it: a task that is there before and after a look at the
    // containers should have one in between.
    let before = containers::tasks(scope).await?;
    if before.is_empty() {
        return Ok(());
    }
    let containers = ids(scope).await?;
    let after = containers::tasks(scope).await?;
    let tasks = before
        .into_iter()
        .filter(|task| after.iter().any(|it| it.id == task.id && it.pid == task.pid));
    let ours = ground.container(&ReplicaId::new(""));
    for task in tasks {
        let id = if task.container_id.is_empty() { task.id } else { task.container_id };
        if !id.starts_with(&ours) || containers.contains(&id) {
            continue;
        }
        warn!(container = %id, "ending a task without a container");
        let new = containers::NewContainer {
            id: id.clone(),
            image: String::new(),
            shim: ground.config.shim_for(&ground.collector),
            runtime: ground.config.oci_runtime.clone(),
            snapshotter: String::new(),
            snapshot: String::new(),
            spec: json!({"ociVersion": "1.0.2"}),
            labels: labels([(STATE, ground.state.name().to_owned())]),
            extensions: [].into(),
        };
        ground.thaw(scope, &id);
        containers::record(scope, new).await?;
        containers::remove(scope, &ground.config.snapshotter, &id, None).await?;
    }
    Ok(())
}

/// The ids of replicas' containers. They come one by one, since all of them with all that is recorded of them take
/// megabytes of memory, which is then not given back.
async fn ids(scope: &Scope) -> Result<BTreeSet<String>, Failure> {
    let filters = vec![format!("labels.\"{REPLICA}\"")];
    let mut client = scope.containers();
    let listing = async {
        let mut listed = client.list_stream(ListContainersRequest { filters }).await?.into_inner();
        let mut ids = BTreeSet::new();
        while let Some(message) = listed.message().await? {
            ids.extend(message.container.map(|container| container.id));
        }
        Ok(Response::new(ids))
    };
    call("list containers", listing).await
}

/// Ends shims of ours that serve nobody now and did not `before`; returns those that do not now.
async fn end_shims(ground: &Arc<Ground>, before: BTreeSet<Seen>) -> BTreeSet<Seen> {
    let ours = ground.container(&ReplicaId::new(""));
    let looking = tokio::task::spawn_blocking(move || {
        let idle = idle_shims(&processes(&ours));
        for (pid, _) in idle.intersection(&before) {
            warn!(pid, "ending a shim that serves nobody");
            // containerd then cleans up after it; its log collector ends with its output.
            if let Some(pid) = Pid::from_raw(*pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        idle
    });
    looking.await.unwrap_or_default()
}

/// A process as `/proc` tells of it.
#[derive(Debug)]
struct Process {
    parent: i32,
    /// When it started; of a shim also how often it rested. Changes when it is another one, or did something.
    mark: String,
    kind: Kind,
}

/// What matters of a process's command line: the lines of all that run on a machine are many.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// A shim of ours.
    Shim,
    /// A log collector.
    Collector,
    Other,
}

/// All processes, by number; shims are ours when their containers' ids begin so. Blocks.
fn processes(ours: &str) -> BTreeMap<i32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let read = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let kind = Kind::of(&String::from_utf8_lossy(&line), ours);
        let (parent, mut mark) = parent_and_start(&stat)?;
        // Ours stays a while after its last container, for the next one.
        if kind == Kind::Shim && line.starts_with(OURS.as_bytes()) {
            mark += &rests(&fs::read_to_string(entry.path().join("status")).ok()?);
        }
        Some((pid, Process { parent, mark, kind }))
    };
    entries.filter_map(read).collect()
}

/// Fields 4 and 22 of `/proc/PID/stat`. Source: `proc_pid_stat(5)`.
fn parent_and_start(stat: &str) -> Option<(i32, String)> {
    // The name in brackets may hold anything; the third field follows.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    Some((fields.get(1)?.parse().ok()?, (*fields.get(19)?).to_owned()))
}

/// How often the first thread of a process rested, in the words of `/proc/PID/status`. Source: `proc_pid_status(5)`.
fn rests(status: &str) -> String {
    let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches:"));
    line.unwrap_or_default().to_owned()
}

/// Shims of ours without any process below but log collectors.
fn idle_shims(all: &BTreeMap<i32, Process>) -> BTreeSet<Seen> {
    let busy: BTreeSet<i32> =
        all.values().filter(|it| it.kind != Kind::Collector).map(|it| it.parent).collect();
    let shims = all.iter().filter(|(pid, it)| it.kind == Kind::Shim && !busy.contains(pid));
    shims.map(|(pid, it)| (*pid, it.mark.clone())).collect()
}

impl Kind {
    /// Of a command line, its words ended by zeros. Source: containerd's runtime v2 README, "Commands".
    fn of(line: &str, ours: &str) -> Self {
        let mut words = line.split('\0');
        let program = words.next().and_then(|it| it.rsplit('/').next()).unwrap_or_default();
        let first = words.clone().next();
        let id = words.skip_while(|it| *it != "-id").nth(1);
        if program.starts_with("containerd-shim") && id.is_some_and(|id| id.starts_with(ours)) {
            Self::Shim
        } else if first == Some(WORD) {
            Self::Collector
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(parent: i32, line: &str) -> Process {
        let kind = Kind::of(&line.replace(' ', "\0"), "tg-ours-");
        Process { parent, mark: "7".to_owned(), kind }
    }

    #[test]
    fn a_shim_with_nothing_below_but_collectors_is_idle() {
        let shim = |id: &str| {
            process(
                1,
                &format!("/usr/bin/containerd-shim-runc-v2 -namespace n -id {id} -address s"),
            )
        };
        let all: BTreeMap<i32, Process> = [
            (10, shim("tg-ours-1-1")),
            (11, process(10, "/bin/tidegate log-collector 4194304:/l")),
            (20, shim("tg-ours-1-2")),
            (21, process(20, "/bin/tidegate log-collector 4194304:/l")),
            (22, process(20, "/entry")),
            (30, shim("tg-theirs-1-1")),
            (40, process(1, "/bin/other -id tg-ours-1-3")),
        ]
        .into();
        assert_eq!(idle_shims(&all), [(10, "7".to_owned())].into());
    }

    #[test]
    fn one_that_did_something_is_not_the_same_at_the_next_look() {
        let status = "State:\tS\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t9\n";
        assert_eq!(rests(status), "voluntary_ctxt_switches:\t7");
        let mut shell = std::process::Command::new("sh");
        let words = ["-c", "read word", "-id", "tg-test-1"];
        let shell = std::os::unix::process::CommandExt::arg0(&mut shell, OURS).args(words);
        let mut shell = shell.stdin(std::process::Stdio::piped()).spawn().expect("a shell");
        let look = || idle_shims(&processes("tg-test-"));
        let within = |done: &dyn Fn() -> bool| (0..2_000).any(|_| done());
        assert!(within(&|| !look().is_empty()));
        let before = look();
        let pid = Pid::from_child(&shell);
        // It goes on, and rests once more.
        let woken = kill_process(pid, Signal::STOP).and_then(|()| kill_process(pid, Signal::CONT));
        let is_another = within(&|| {
            let now = look();
            !now.is_empty() && now.is_disjoint(&before)
        });
        shell.kill().and_then(|()| shell.wait()).expect("it is ours");
        assert!(woken.is_ok() && is_another);
    }

    #[test]
    fn parents_are_read_behind_names_with_brackets() {
        let stat = "12 (a) b) S 34 1 1 0 -1 4 5 6 7 8 9 10 11 12 13 14 15 16 5678 18";
        assert_eq!(parent_and_start(stat), Some((34, "5678".to_owned())));
        assert!(
            processes("tg-").contains_key(&i32::try_from(std::process::id()).expect("a number"))
        );
    }
}
