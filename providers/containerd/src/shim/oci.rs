//! The program that makes containers, runc or one with its command line: called for most steps.
//!
//! Source: `runc(8)` and the manual pages it names.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Deserialize;

use super::copy::{Copies, Open};
use super::exits::{Exits, Starting};
use crate::cgroup::Roots;

/// Where runc keeps what it knows, for each namespace, beside what containerd's own shims have there.
const ROOT: &str = "/run/containerd/runc";
/// What is called when nobody says which program.
const RUNC: &str = "runc";
/// In a bundle: which program made the container, for whoever cleans up when the shim is gone.
const PROGRAM: &str = "oci-runtime";
/// containerd's own way to tell systemd that it is there. A program that is called with it passes it on to the container, and
/// waits until that says it is ready.
const NOTIFY: &str = "NOTIFY_SOCKET";
/// Longest that a container takes to be made. containerd waits five seconds for who cleans up.
const MAKING_TAKES: Timespec = Timespec { tv_sec: 3, tv_nsec: 0 };

/// What makes containers, in one namespace.
#[derive(Clone, Debug)]
pub(super) struct Oci {
    program: String,
    copies: Copies,
    root: PathBuf,
    bundle: PathBuf,
}

/// One step of it.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) command: Command,
    open: Open,
    /// What the program says meanwhile.
    log: PathBuf,
}

/// One line of what it says.
#[derive(Deserialize)]
struct Line {
    level: String,
    msg: String,
}

impl Oci {
    /// `program` may be empty: then it is runc.
    pub(super) fn new(program: &str, namespace: &str, bundle: PathBuf) -> Self {
        let program = if program.is_empty() { RUNC } else { program };
        let (program, root) = (program.to_owned(), Path::new(ROOT).join(namespace));
        Self { program, copies: Copies::default(), root, bundle }
    }

    /// The same, which shares copies of the program.
    pub(super) fn with(self, copies: &Copies) -> Self {
        Self { copies: copies.clone(), ..self }
    }

    /// As [`Oci::note`] noted it; none when there is no container any more.
    pub(super) fn noted(namespace: &str, bundle: PathBuf) -> Option<Self> {
        let program = fs::read_to_string(bundle.join(PROGRAM)).ok()?;
        Some(Self::new(&program, namespace, bundle))
    }

    /// Notes that there is no container any more.
    pub(super) fn forget(&self) {
        // What is noted too long is looked for once more than needed.
        let _ = fs::remove_file(self.bundle.join(PROGRAM));
    }

    /// Notes for [`Oci::noted`] which program it is.
    pub(super) fn note(&self) -> io::Result<()> {
        fs::write(self.bundle.join(PROGRAM), &self.program)
    }

    pub(super) fn bundle(&self) -> &Path {
        &self.bundle
    }

    /// A step of it, with nothing to read and nobody to read it.
    pub(super) fn step(&self, word: &str) -> Step {
        let log = self.bundle.join(format!("log-{word}.json"));
        // What it said the last time is not why it fails now.
        let _ = fs::remove_file(&log);
        let (mut command, open) = self.copies.command(&self.program);
        command.arg("--root").arg(&self.root).arg("--log").arg(&log);
        command.args(["--log-format", "json"]).arg(word).current_dir(&self.bundle);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.env_remove(NOTIFY);
        Step { command, open, log }
    }

    /// The step that removes a container, whatever it does.
    pub(super) fn removal(&self, id: &str) -> Step {
        let mut step = self.step("delete");
        step.command.arg("--force").arg(id);
        step
    }

    /// Does a step; when it fails, why.
    pub(super) async fn run(&self, exits: &Rc<Exits>, step: Step) -> Result<Starting, String> {
        let Step { command, open, log } = step;
        let starting = exits.starting();
        // What a process inherits is dropped with the command, before anybody waits for its end.
        let spawned = tokio::task::spawn_blocking(move || spawn(command, open)).await;
        let pid = match spawned {
            Ok(Ok(pid)) => pid,
            Ok(Err(failure)) => return Err(format!("cannot start {:?}: {failure}", self.program)),
            Err(_) => return Err(format!("cannot start {:?}", self.program)),
        };
        match starting.end_of(pid).await {
            Ok(ended) if ended.status == 0 => Ok(starting),
            Ok(ended) => Err(why(&log).unwrap_or_else(|| {
                format!("{} ended with status {} and no word", self.program, ended.status)
            })),
            Err(_) => Err("the shim ends".to_owned()),
        }
    }

    /// Waits until nobody makes a container of this name any more, for some seconds at most: whoever was told to by a shim that
    /// was killed goes on, and would bring the container after it was removed.
    pub(super) fn wait_for_maker(&self, id: &str) {
        let Some(maker) = self.maker(id) else { return };
        // It may have ended by itself.
        let Ok(maker) = pidfd_open(maker, PidfdFlags::empty()) else { return };
        let mut end = [PollFd::new(&maker, PollFlags::IN)];
        // Cut short by a signal, it is too early to remove it, as it would have been without this.
        let _ = rustix::event::poll(&mut end, Some(&MAKING_TAKES));
    }

    /// The process of the step that makes a container.
    fn maker(&self, id: &str) -> Option<Pid> {
        let root = self.root.as_os_str().as_bytes();
        let makes = |line: &[u8]| {
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            let has = |wanted: &[u8]| words.contains(&wanted);
            has(root) && (has(b"create") || has(b"run")) && has(id.as_bytes())
        };
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        processes
            .filter_map(|it| it.file_name().to_str()?.parse().ok().and_then(Pid::from_raw))
            .find(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| makes(&line)))
    }

    /// Removes what is left of a container whose processes are all gone, as `delete` would: its control groups, and what was
    /// noted of it. Whether that is all done: the kernel may not be done with its last process yet. Blocks.
    ///
    /// # Errors
    /// When nothing was noted where it is known to be.
    pub(super) fn clear(&self, id: &str, group: &str, roots: &Roots) -> io::Result<bool> {
        let noted = self.noted_in(id);
        fs::metadata(&noted)?;
        if !roots.remove(group) {
            return Ok(false);
        }
        fs::remove_dir_all(noted).map(|()| true)
    }

    /// Where the program notes what it knows of a container.
    pub(super) fn noted_in(&self, id: &str) -> PathBuf {
        self.root.join(id)
    }

    /// Does a step, and waits for its end here.
    pub(super) fn run_here(&self, mut step: Step) -> Result<(), String> {
        match step.command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(why(&step.log).unwrap_or_else(|| status.to_string())),
            Err(failure) => Err(format!("cannot start {:?}: {failure}", self.program)),
        }
    }
}

/// The last error that it said.
fn why(log: &Path) -> Option<String> {
    let log = fs::read_to_string(log).ok()?;
    let lines = log.lines().rev().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    lines.into_iter().find(|line| line.level == "error").map(|line| line.msg)
}

/// All children are reaped in one place.
fn spawn(mut step: Command, _open: Open) -> io::Result<u32> {
    Ok(step.spawn()?.id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_and_its_last_error_are_read_from_the_bundle() {
        let bundle = tempfile::tempdir().expect("a folder");
        let path = bundle.path().to_owned();
        assert!(Oci::noted("fn", path.clone()).is_none(), "nothing was made");
        Oci::new("", "fn", path.clone()).note().expect("written");
        assert_eq!(Oci::noted("fn", path.clone()).expect("noted").program, "runc");
        Oci::new("/opt/crun", "fn", path.clone()).note().expect("written");
        let oci = Oci::noted("fn", path.clone()).expect("noted");
        assert_eq!((oci.program.as_str(), why(&path.join("none"))), ("/opt/crun", None));
        let log = r#"{"level":"error","msg":"first","time":"t"}
{"level":"error","msg":"no such file","time":"t"}
{"level":"warning","msg":"never mind","time":"t"}
half a li"#;
        fs::write(path.join("log-kill.json"), log).expect("written");
        assert_eq!(why(&path.join("log-kill.json")).as_deref(), Some("no such file"));
        let mut step = oci.step("kill");
        step.command.args(["a", "15"]);
        assert_eq!(why(&step.log), None, "that was another time");
        let notify = step.command.get_envs().find(|(name, _)| *name == NOTIFY);
        assert_eq!(
            notify.map(|it| it.1),
            Some(None),
            "containers would tell systemd, and be waited for"
        );
        let step = format!("{:?}", step.command);
        assert!(step.contains(r#""--root" "/run/containerd/runc/fn""#), "{step}");
        assert!(step.ends_with(r#""--log-format" "json" "kill" "a" "15""#), "{step}");
        oci.forget();
        assert!(Oci::noted("fn", path).is_none(), "it is gone");
    }
}
