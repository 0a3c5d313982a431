//! How often a second the backend can freeze and thaw: its own code on control groups of a process that sleeps, as one without
//! calls does, and of one that never rests.
//!
//! `cargo bench -p tidegate-provider-containerd --bench thaws`, as root; without root or control groups it says so.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(dead_code, unused_imports, reason = "the backend, and its tests, use the rest of it")]

#[path = "../src/cgroup.rs"]
mod cgroup;
#[path = "../src/clock.rs"]
mod clock;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cgroup::{Cgroup, Hierarchy};

const ROUNDS: usize = 5;
const SPAN: Duration = Duration::from_secs(2);

/// Processes, and what they do.
const PROGRAMS: [(&[&str], &str); 2] =
    [(&["sleep", "1000"], "a process that sleeps"), (&["yes"], "a process that never rests")];

/// A process in a group of its own; both are gone with this.
struct Runner {
    child: Child,
    cgroup: Cgroup,
    folder: PathBuf,
}

fn main() {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let Some(hierarchy) = Hierarchy::find(&mounts).map(Arc::new) else {
        return eprintln!("skipped: no control groups are mounted");
    };
    for (words, what) in PROGRAMS {
        let runner = match Runner::start(&hierarchy, words) {
            Ok(runner) => runner,
            Err(failure) => return eprintln!("skipped, needs root: {failure}"),
        };
        let mut rounds: Vec<(f64, Duration)> = (0..ROUNDS).map(|_| round(&runner.cgroup)).collect();
        rounds.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let (pairs, thaw) = rounds[ROUNDS / 2];
        println!(
            "{what}: frozen and thawed {pairs:.0} times a second; a thaw alone takes {thaw:.1?}, {:.0} a second; \
             median of {ROUNDS} rounds of {SPAN:?}",
            1.0 / thaw.as_secs_f64()
        );
    }
}

/// Pairs a second, and the mean time of a thaw.
fn round(cgroup: &Cgroup) -> (f64, Duration) {
    let (begun, mut pairs, mut thawing) = (Instant::now(), 0_u32, Duration::ZERO);
    while begun.elapsed() < SPAN {
        cgroup.freeze().expect("a group of our own");
        let thaw = Instant::now();
        cgroup.thaw().expect("a group of our own");
        thawing += thaw.elapsed();
        pairs += 1;
    }
    (f64::from(pairs) / begun.elapsed().as_secs_f64(), thawing / pairs)
}

impl Runner {
    fn start(hierarchy: &Arc<Hierarchy>, words: &[&str]) -> std::io::Result<Self> {
        let name = format!("tidegate-thaws-{}", std::process::id());
        let root = match &**hierarchy {
            Hierarchy::One { freezer, .. } => freezer,
            Hierarchy::Two(root) => root,
        };
        let folder = root.join(&name);
        fs::create_dir(&folder)?;
        let child = Command::new(words[0]).args(&words[1..]).stdout(Stdio::null()).spawn()?;
        let cgroup = Cgroup::new(hierarchy, &name);
        let runner = Self { child, cgroup, folder };
        fs::write(runner.folder.join("cgroup.procs"), runner.child.id().to_string())?;
        Ok(runner)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = self.cgroup.thaw();
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir(&self.folder);
    }
}
