//! A stack file as the commands use it: read from disk, its variables filled in from the environment,
//! its environment files added, and each function given its namespace.
//!
//! `${STACK_DIR}` is the absolute folder of the file, so that a function's script is found wherever
//! tidegate was started. Environment files are paths from that folder too.

use std::path::{Path, PathBuf};

use tidegate_api::stack::{self, Diagnostic, Diagnostics};
use tidegate_api::{FunctionDeployment, StackFunction};
use tidegate_core::{FunctionId, Vars};

use super::Context;
use super::failure::{Exit, Failure};

/// A stack file and where it is.
#[derive(Debug)]
pub struct Stack {
    shown: String,
    folder: PathBuf,
    read: stack::Stack,
}

/// One function to be deployed or removed.
#[derive(Debug)]
pub struct Chosen {
    /// Which.
    pub function: FunctionId,
    /// What is sent to the gateway.
    pub deployment: FunctionDeployment,
}

impl Stack {
    /// Reads the file at `path`.
    pub fn read(context: &Context, path: &Path) -> Result<Self, Failure> {
        let shown = path.display().to_string();
        let unread = |error| Failure::usage(format!("cannot read {shown}")).because(error);
        let text = std::fs::read_to_string(path).map_err(unread)?;
        let folder = path.canonicalize().map_err(unread)?;
        let folder = folder.parent().map(Path::to_path_buf).unwrap_or_default();
        let variable = |name: &str| variable(&context.vars, &folder, name);
        let read = stack::Stack::read(&shown, &text, &variable)
            .map_err(|found| mistakes(&shown, &found))?;
        Ok(Self { shown, folder, read })
    }

    /// The gateway that the file names.
    pub fn gateway(&self) -> Option<&str> {
        Some(self.read.gateway.as_str()).filter(|url| !url.is_empty())
    }

    /// What is odd about the file, each with its line and a caret.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.read.warnings.iter()
    }

    /// What is to be deployed: the functions of these names, or all of them without names.
    pub fn choose(&self, context: &Context, names: &[String]) -> Result<Vec<Chosen>, Failure> {
        self.named(names)?.into_iter().map(|one| self.chosen(context, one)).collect()
    }

    /// Which functions are meant by these names, without a look at their environment files.
    pub fn ids(&self, context: &Context, names: &[String]) -> Result<Vec<FunctionId>, Failure> {
        self.named(names)?.into_iter().map(|one| id(context, one)).collect()
    }

    /// The functions of these names, in the file's order; all of them without names.
    fn named(&self, names: &[String]) -> Result<Vec<&StackFunction>, Failure> {
        let functions = &self.read.functions;
        if let Some(missing) = names.iter().find(|name| self.read.function(name).is_none()) {
            let known: Vec<&str> = functions.iter().map(|one| one.name.as_str()).collect();
            let message = format!("{} has no function {missing:?}", self.shown);
            return Err(
                Failure::new(Exit::NotFound, message).help(format!("it has {}", known.join(", ")))
            );
        }
        let wanted = |one: &&StackFunction| names.is_empty() || names.contains(&one.name);
        Ok(functions.iter().filter(wanted).collect())
    }

    fn chosen(&self, context: &Context, one: &StackFunction) -> Result<Chosen, Failure> {
        let file = |name: &str| {
            std::fs::read_to_string(self.folder.join(name)).map_err(|error| error.to_string())
        };
        let mut deployment =
            one.deployment(&file).map_err(|found| mistakes(&self.shown, &found))?;
        let function = id(context, one)?;
        function.namespace().clone_into(&mut deployment.namespace);
        Ok(Chosen { function, deployment })
    }
}

/// A namespace from the command line wins over that of the file, as with faas-cli.
fn id(context: &Context, one: &StackFunction) -> Result<FunctionId, Failure> {
    let namespace = context.namespace()?.unwrap_or(&one.namespace);
    FunctionId::new(&one.name, namespace).map_err(Failure::usage)
}

/// The text of a variable, an empty one too: `${NAME-text}` tells empty from absent.
fn variable(vars: &Vars, folder: &Path, name: &str) -> Option<String> {
    match name {
        "STACK_DIR" => Some(folder.display().to_string()),
        _ if vars.is_set(name) => Some(vars.get(name).unwrap_or_default().to_owned()),
        _ => None,
    }
}

fn mistakes(shown: &str, found: &Diagnostics) -> Failure {
    Failure::usage(format!("{shown} cannot be used as it is"))
        .because(found)
        .help("mend the file; nothing has been changed")
}
