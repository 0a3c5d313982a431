//! `stack.yml`: read, its variables filled in, checked, and turned into deployments.
//!
//! ```text
//! stack/substitute.rs   ${VAR:-default} over the whole text, remembering where each byte came from
//! stack/document.rs     the keys of the file, each value with its position
//! stack/section.rs      how a mapping is read: unknown keys are kept, not fatal
//! stack/function.rs     one function: what it says, and the deployment it means
//! stack/diagnostic.rs   file:line:column, a line of the file and a caret
//! ```

mod diagnostic;
mod document;
mod function;
mod section;
mod source;
mod substitute;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use function::StackFunction;

use std::sync::Arc;

use document::Document;
use source::Source;

/// Largest stack file.
pub const LARGEST: usize = 4 << 20;

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
        let source = Source::new(name, text, variable, &mut found);
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
