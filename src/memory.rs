//! What was learnt about each function, kept across restarts in `scaling.json`.
//!
//! Kept are ages, and when they were noted on the clock of the machine's run: after `kill -9` they have
//! gone on as real time did, a wall clock that jumps changes nothing, and the file of functions to which
//! nothing happens is not written again. After the machine itself was restarted, ages go on from what was
//! noted: an idle function gets time rather than loses it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_autoscaler::Memory;
use tidegate_core::FunctionId;
use tidegate_idler::CommonRecord;
use tracing::warn;

use crate::boot::BootTime;
use crate::durable;

/// What was learnt, by function.
#[derive(Debug)]
pub struct Memories {
    path: PathBuf,
    /// The run of the machine that all notes are of.
    boot: String,
    functions: BTreeMap<String, Noted>,
    /// What was learnt about all of them together.
    common: Option<CommonRecord>,
    /// Something was noted or forgotten since it was last written down.
    changed: bool,
}

/// What was known at one moment.
#[derive(Debug, Serialize, Deserialize)]
struct Noted {
    /// The machine's uptime then, in milliseconds.
    uptime_millis: u64,
    #[serde(flatten)]
    memory: Memory,
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    boot: String,
    #[serde(default)]
    common: Option<CommonRecord>,
    functions: BTreeMap<String, Noted>,
}

const VERSION: u32 = 2;

impl Memories {
    /// What an earlier run left at `path`. A file that cannot be read is reported and put aside: what is
    /// lost is idle time, and a function whose idle time is not known counts as just used.
    pub fn load(path: PathBuf, now: &BootTime) -> Self {
        let (common, functions) = match fs::read(&path) {
            Ok(content) => read(&content, now).unwrap_or_else(|why| {
                warn!(path = %path.display(), why, "what was learnt about idleness cannot be read; it starts anew");
                Default::default()
            }),
            Err(_) => Default::default(),
        };
        Self { path, boot: now.boot.clone(), functions, common, changed: false }
    }

    /// What is known of all functions together.
    pub fn common(&self) -> Option<&CommonRecord> {
        self.common.as_ref()
    }

    /// Notes what was learnt of all functions together. It changes with each call; it is written down with the
    /// next thing that must be.
    pub fn keep_common(&mut self, common: CommonRecord) {
        self.common = Some(common);
    }

    /// What is known of `function` now.
    pub fn take(&mut self, now: &BootTime, function: &FunctionId) -> Option<Memory> {
        let noted = self.functions.get(function.as_str())?;
        Some(noted.memory.clone().after(noted.age(now)))
    }

    /// Notes what was learnt of `function`, unless it only grew older.
    pub fn keep(&mut self, now: &BootTime, function: &FunctionId, memory: Memory) {
        let noted = self.functions.get_mut(function.as_str());
        if noted.is_some_and(|noted| memory.only_aged(&noted.memory, noted.age(now))) {
            return;
        }
        self.functions.insert(function.as_str().to_owned(), Noted::new(now, memory));
        self.changed = true;
    }

    /// Forgets a removed function.
    pub fn forget(&mut self, function: &FunctionId) {
        self.changed |= self.functions.remove(function.as_str()).is_some();
    }

    /// Notes all of it as it is now, for a restart of the machine may follow.
    pub fn renew(&mut self, now: &BootTime) {
        for noted in self.functions.values_mut() {
            let age = noted.age(now);
            *noted = Noted::new(now, std::mem::take(&mut noted.memory).after(age));
        }
        self.changed |= !self.functions.is_empty();
    }

    /// What is to be written down when it changed since the last time; see [`Unsaved::save`].
    pub fn changed(&mut self) -> Option<Unsaved> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let functions = std::mem::take(&mut self.functions);
        let (boot, common) = (self.boot.clone(), self.common.clone());
        let file = File { version: VERSION, boot, common, functions };
        let text = serde_json::to_string(&file);
        self.functions = file.functions;
        let text = text.expect("memories are plain numbers with text keys");
        Some(Unsaved { path: self.path.clone(), text })
    }
}

impl Noted {
    fn new(now: &BootTime, memory: Memory) -> Self {
        let uptime_millis = u64::try_from(now.uptime.as_millis()).unwrap_or(u64::MAX);
        Self { uptime_millis, memory }
    }

    /// For notes of this run of the machine.
    fn age(&self, now: &BootTime) -> Duration {
        now.uptime.saturating_sub(Duration::from_millis(self.uptime_millis))
    }
}

/// What was learnt, ready to be written by whoever may block.
#[derive(Debug)]
pub struct Unsaved {
    path: PathBuf,
    text: String,
}

impl Unsaved {
    /// Writes it down.
    pub fn save(&self) {
        if let Err(error) = durable::write(&self.path, self.text.as_bytes()) {
            warn!(path = %self.path.display(), %error, "what was learnt about idleness could not be saved; after a restart it starts anew");
        }
    }
}

/// What a file tells of all functions together, and of each.
type Read = (Option<CommonRecord>, BTreeMap<String, Noted>);

/// All of it as noted now.
fn read(content: &[u8], now: &BootTime) -> Result<Read, String> {
    let file: File = serde_json::from_slice(content).map_err(|error| error.to_string())?;
    if file.version != VERSION {
        return Err(format!("version {} is not {VERSION}", file.version));
    }
    let renew = |noted: Noted| {
        let uptime = Duration::from_millis(noted.uptime_millis);
        let then = BootTime { boot: file.boot.clone(), uptime };
        Noted::new(now, noted.memory.after(now.since(&then)))
    };
    let functions = file.functions.into_iter().map(|(name, noted)| (name, renew(noted)));
    Ok((file.common, functions.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(boot: &str, secs: u64) -> BootTime {
        BootTime { boot: boot.to_owned(), uptime: Duration::from_secs(secs) }
    }

    fn quiet(secs: u64) -> Memory {
        Memory { quiet_millis: secs * 1000, ..Memory::default() }
    }

    fn cat() -> FunctionId {
        FunctionId::parse("cat").expect("a good name")
    }

    #[test]
    fn a_function_that_only_grows_older_is_written_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut memories = Memories::load(folder.path().join("scaling.json"), &at("a", 100));
        memories.keep(&at("a", 100), &cat(), quiet(7));
        assert!(memories.changed().is_some());
        for later in [5, 10, 3600] {
            memories.keep(&at("a", 100 + later), &cat(), quiet(7 + later - 1));
            assert!(memories.changed().is_none(), "{later}");
        }
        let zero = Memory { zero_millis: Some(0), ..quiet(3608) };
        memories.keep(&at("a", 3701), &cat(), zero);
        assert!(memories.changed().is_some(), "it went to zero");
        memories.keep(&at("a", 3711), &cat(), quiet(1));
        assert!(memories.changed().is_some(), "it was called");
        memories.forget(&cat());
        assert!(memories.changed().is_some());
        assert!(memories.changed().is_none());
    }

    #[test]
    fn ages_go_on_while_nobody_runs_and_only_as_long_as_the_machine_did() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("scaling.json");
        let mut memories = Memories::load(path.clone(), &at("a", 100));
        memories.keep(&at("a", 100), &cat(), quiet(7));
        memories.changed().expect("new").save();
        for (now, secs) in [(at("a", 160), 67), (at("a", 50), 7), (at("b", 9999), 7)] {
            let mut later = Memories::load(path.clone(), &now);
            assert_eq!(later.take(&now, &cat()), Some(quiet(secs)), "{now:?}");
            later.renew(&now);
            assert!(later.changed().is_some());
            let mut more = now.clone();
            more.uptime += Duration::from_secs(3);
            assert_eq!(later.take(&more, &cat()), Some(quiet(secs + 3)), "{now:?}");
        }
    }

    #[test]
    fn what_all_share_outlives_a_restart_and_is_written_with_the_rest() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("scaling.json");
        let common = tidegate_autoscaler::Autoscaler::new(Default::default()).common();
        let mut memories = Memories::load(path.clone(), &at("a", 100));
        assert_eq!(memories.common(), None);
        memories.keep_common(common.clone());
        assert!(memories.changed().is_none(), "it changes with each call");
        memories.keep(&at("a", 100), &cat(), quiet(7));
        memories.changed().expect("new").save();
        assert_eq!(Memories::load(path, &at("a", 200)).common(), Some(&common));
    }

    #[test]
    fn a_damaged_file_starts_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("scaling.json");
        for text in [
            "{",
            "{\"version\":1,\"functions\":{}}",
            "{\"version\":2,\"boot\":\"a\",\"functions\":{\"cat\":3}}",
        ] {
            fs::write(&path, text).expect("written");
            let mut memories = Memories::load(path.clone(), &at("a", 1));
            assert_eq!(memories.take(&at("a", 1), &cat()), None);
        }
    }
}
