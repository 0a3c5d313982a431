//! What was learnt about each function, kept across restarts in `scaling.json`.
//!
//! Ages are kept, not times: a clock that jumps between two runs changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tidegate_autoscaler::Memory;
use tidegate_core::FunctionId;
use tracing::warn;

use crate::durable;

/// What was learnt, by function.
#[derive(Debug)]
pub struct Memories {
    path: PathBuf,
    functions: BTreeMap<String, Memory>,
    saved: String,
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    functions: BTreeMap<String, Memory>,
}

const VERSION: u32 = 1;

impl Memories {
    /// What an earlier run left at `path`. A file that cannot be read is reported and put aside: what is
    /// lost is idle time, and a function whose idle time is not known counts as just used.
    pub fn load(path: PathBuf) -> Self {
        let functions = match fs::read(&path) {
            Ok(content) => read(&content).unwrap_or_else(|why| {
                warn!(path = %path.display(), why, "what was learnt about idleness cannot be read; it starts anew");
                BTreeMap::new()
            }),
            Err(_) => BTreeMap::new(),
        };
        Self { path, functions, saved: String::new() }
    }

    /// What is known of `function`.
    pub fn take(&mut self, function: &FunctionId) -> Option<Memory> {
        self.functions.get(function.as_str()).cloned()
    }

    /// Notes what was learnt of `function`.
    pub fn keep(&mut self, function: &FunctionId, memory: Memory) {
        self.functions.insert(function.as_str().to_owned(), memory);
    }

    /// Forgets a removed function.
    pub fn forget(&mut self, function: &FunctionId) {
        self.functions.remove(function.as_str());
    }

    /// What is to be written down when it changed since the last time; see [`Unsaved::save`].
    pub fn changed(&mut self) -> Option<Unsaved> {
        let file = File { version: VERSION, functions: std::mem::take(&mut self.functions) };
        let text = serde_json::to_string(&file);
        self.functions = file.functions;
        let text = text.expect("memories are plain numbers with text keys");
        if text == self.saved {
            return None;
        }
        self.saved.clone_from(&text);
        Some(Unsaved { path: self.path.clone(), text })
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

fn read(content: &[u8]) -> Result<BTreeMap<String, Memory>, String> {
    let file: File = serde_json::from_slice(content).map_err(|error| error.to_string())?;
    if file.version != VERSION {
        return Err(format!("version {} is not {VERSION}", file.version));
    }
    Ok(file.functions)
}
