//! `stack.yml`: read, its variables filled in, checked, and turned into deployments.
//!
//! ```text
//! yaml/…                ${VAR:-default} filled in, mappings with positions, diagnostics with line and caret
//! stack/document.rs     the keys of the file, each value with its position
//! stack/function.rs     one function: what it says, and the deployment it means
//! ```

mod document;
mod function;

pub use crate::yaml::LARGEST;
pub use crate::yaml::diagnostic::{Diagnostic, Diagnostics, Severity};
pub use function::StackFunction;

use std::sync::Arc;

use crate::yaml::source::{Dialect, Source};
use document::Document;

/// A stack file that could be read.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The gateway it is meant for; empty when the file names none.
    pub gateway: String,
    /// Its functions, in the file's order.
    pub functions: Vec<StackFunction>,
    /// Templates to build with.
    pub templates: Vec<Template>,
    /// Paths to copy into a build.
    pub copy: Vec<String>,
    /// What is odd about it, but does not stop a deployment.
    pub warnings: Diagnostics,
}

/// A template of `configuration.templates`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub source: String,
}

impl Stack {
    /// Reads a stack file. `name` is what diagnostics call it; `variable` gives the value of a variable,
    /// if it is set.
    ///
    /// # Errors
    /// With everything that is wrong with the file.
    pub fn read(
        name: &str,
        text: &str,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Diagnostics> {
        let mut found = Diagnostics::default();
        let source = Source::new(name, text, Dialect::Stack, variable, &mut found);
        if !found.has_errors() {
            match source.parse::<Document>() {
                Ok(document) => return document.into_stack(&Arc::new(source), found),
                Err(diagnostic) => found.add(diagnostic),
            }
        }
        Err(found)
    }

    /// The function of this name.
    pub fn function(&self, name: &str) -> Option<&StackFunction> {
        self.functions.iter().find(|function| function.name == name)
    }
}
