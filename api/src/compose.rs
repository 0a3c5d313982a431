//! Compose files: read, their variables filled in, checked, and turned into services.
//!
//! ```text
//! yaml/…                  ${VAR:-default} filled in, mappings with positions, diagnostics with line and caret
//! compose/document.rs     the keys of the file; what may be a text, a list or a mapping
//! compose/reader.rs       what is done with keys that are not honoured: refused, or named in a warning
//! compose/service.rs      one service
//! compose/words.rs        ports, volumes, sizes and capabilities as they are written
//! compose/env_file.rs     files of variables
//! compose/order.rs        who waits for whom
//! ```
//!
//! Source: the Compose specification, and Docker's documentation of it.

mod document;
mod env_file;
mod order;
mod reader;
mod service;
mod words;

pub use env_file::Variables;

use tidegate_core::Service;

use crate::yaml::diagnostic::Diagnostics;
use crate::yaml::source::{Dialect, Source};
use document::Document;
use reader::Reader;

/// A compose file that could be read.
#[derive(Clone, Debug)]
pub struct Compose {
    /// Its services, each after those that it waits for. Paths in it are as they were written.
    pub services: Vec<Service>,
    /// What is odd about it, but does not stop its services.
    pub warnings: Diagnostics,
}

/// Reads a file of variables, `NAME=value` a line. A name alone has no value.
///
/// # Errors
/// With the number of the line that is wrong, and why.
pub fn variables(text: &str) -> Result<Variables, (usize, String)> {
    env_file::parse(text)
}

/// What a compose file may refer to.
#[derive(Copy, Clone)]
pub struct World<'a> {
    /// The value of a variable, if it is set.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a file of variables, or why it cannot be read; `None` when there is none of this name.
    pub file: &'a dyn Fn(&str) -> Result<Option<String>, String>,
}

impl Compose {
    /// Reads a compose file. `name` is what diagnostics call it.
    ///
    /// # Errors
    /// With everything that is wrong with the file.
    pub fn read(name: &str, text: &str, world: World<'_>) -> Result<Self, Diagnostics> {
        let mut found = Diagnostics::default();
        let source = Source::new(name, text, Dialect::Compose, world.variable, &mut found);
        if !found.has_errors() {
            match source.parse::<Document>() {
                Ok(document) => return Reader::new(&source, world, found).read(document),
                Err(diagnostic) => found.add(diagnostic),
            }
        }
        Err(found)
    }
}
