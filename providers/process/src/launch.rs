//! Starts a watchdog for a replica: folder, environment, pipes and the control stream.
//!
//! The watchdog holds one end of the control stream as its standard input. It writes there when it is ready,
//! and takes the end of the stream as the end of us.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Pid;
use tidegate_provider::ReplicaId;
use tidegate_provider_machine::{Revision, durable, place};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use crate::processes::Processes;
use crate::procfs::{Held, MARKER};
use crate::runtime::{Inner, ProcessRuntime};
use crate::{limits, spec};

/// A watchdog that has just been started.
pub(crate) struct Launched {
    pub(crate) child: Child,
    pub(crate) control: UnixStream,
    pub(crate) out: Option<ChildStdout>,
    pub(crate) err: Option<ChildStderr>,
    pub(crate) processes: Processes,
}

/// Starts a watchdog. Blocks, and must be called inside the runtime.
pub(crate) fn launch(
    inner: &Inner,
    revision: &Revision<ProcessRuntime>,
    replica: &ReplicaId,
) -> io::Result<Launched> {
    let folder = inner.layout.place(replica);
    let socket = make_place(&folder)?;
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let control = UnixStream::from_std(ours)?;

    let mut command = Command::new(program(inner)?);
    command.args(inner.config.watchdog.get(1..).unwrap_or_default());
    if inner.config.watchdog.is_empty() {
        command.arg("fwatchdog");
    }
    command.env_clear().envs(env(inner, revision, replica, &folder, &socket));
    command.current_dir(revision.spec.directory.as_deref().unwrap_or(&folder.join("work")));
    command.stdin(Stdio::from(OwnedFd::from(theirs)));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own: a Ctrl-C at our terminal is not for the functions.
    command.process_group(0);
    let mut child = command.spawn()?;

    let gone = || io::Error::other("the watchdog ended at once");
    let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).ok_or_else(gone)?;
    let watchdog = Held::new(pid).ok_or_else(gone)?;
    let (cgroup, note) =
        limits::apply(revision.spec.limits, inner.cgroups.as_ref(), place(replica), pid);
    let processes = Processes::new(replica.clone(), watchdog, cgroup, note);
    let (out, err) = (child.stdout.take(), child.stderr.take());
    Ok(Launched { child, control, out, err, processes })
}

fn program(inner: &Inner) -> io::Result<OsString> {
    match inner.config.watchdog.first() {
        Some(program) => Ok(program.clone()),
        None => std::env::current_exe().map(Into::into),
    }
}

fn make_place(place: &Path) -> io::Result<std::path::PathBuf> {
    for folder in ["tmp", "work"] {
        durable::make_folder(&place.join(folder))?;
    }
    let socket = place.join("s");
    match fs::remove_file(&socket) {
        Err(failure) if failure.kind() != io::ErrorKind::NotFound => Err(failure),
        _ => Ok(socket),
    }
}

fn env(
    inner: &Inner,
    revision: &Revision<ProcessRuntime>,
    replica: &ReplicaId,
    place: &Path,
    socket: &Path,
) -> std::collections::BTreeMap<String, String> {
    let secrets = inner.layout.mounted_secrets(revision.function(), revision.number());
    let temporary = place.join("tmp");
    let work = place.join("work");
    let mut env = spec::env(
        &revision.deployment,
        &inner.config,
        &[
            ("HOME", &work),
            ("secret_mount_path", &secrets),
            ("TMPDIR", &temporary),
            ("TIDEGATE_SECRETS", &secrets),
        ],
    );
    env.insert("TIDEGATE_LISTEN".to_owned(), format!("unix:{}", socket.display()));
    env.insert("TIDEGATE_CONTROL".to_owned(), "stdin".to_owned());
    // Replicas share this machine, and so one port for metrics will not do.
    env.insert("TIDEGATE_METRICS".to_owned(), "off".to_owned());
    env.insert(MARKER.to_owned(), replica.to_string());
    env
}
