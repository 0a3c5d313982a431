//! `--report out.html`: one page that needs nothing else, no script and no network, to be read anywhere.
//!
//! Four charts over one time axis (rate, latency, replicas, errors), then the same in tables. Every text
//! that comes from outside is escaped; the file appears at once and whole.

mod chart;
mod charts;
mod scale;
mod tables;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::results::Results;

const STYLE: &str = include_str!("report/style.css");

/// What the page says beside the results.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The command line, without secrets.
    pub command: String,
    /// What was settled that nobody asked for.
    pub notes: Vec<String>,
}

/// A file that is written beside its place and then takes it.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    aside: PathBuf,
    file: Option<File>,
}

impl Draft {
    /// Begins; says at once when the page could not be written later.
    ///
    /// # Errors
    /// When the folder does not exist or may not be written to, or the path is a folder.
    pub fn new(path: &Path) -> io::Result<Self> {
        if path.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
        }
        let name = path
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.part", std::process::id()));
        let aside = path.with_file_name(hidden);
        let file = File::create(&aside)?;
        Ok(Self { path: path.to_owned(), aside, file: Some(file) })
    }

    /// Writes the page and puts it in its place.
    ///
    /// # Errors
    /// When it cannot be written, such as on a full disk; what was there before then stays.
    pub fn finish(mut self, page: &str) -> io::Result<()> {
        if let Some(mut file) = self.file.take() {
            file.write_all(page.as_bytes())?;
            file.sync_all()?;
        }
        std::fs::rename(&self.aside, &self.path)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Gone already when it took its place.
        let _ = std::fs::remove_file(&self.aside);
    }
}

/// The whole page.
#[must_use]
pub fn page(results: &Results, about: &About) -> String {
    let mut html = String::with_capacity(64 << 10);
    let title = title(results);
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{0}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<header>\n<h1>{0}</h1>\n",
        escape(&title)
    );
    let _ = writeln!(
        html,
        "<p class=\"command\"><code>{}</code></p>\n</header>",
        escape(&about.command)
    );
    tables::verdict(&mut html, results);
    tables::summary(&mut html, results);
    html += &charts::all(results);
    tables::events(&mut html, results);
    tables::rest(&mut html, results, about);
    html + "</main>\n</body>\n</html>\n"
}

fn title(results: &Results) -> String {
    let names: Vec<&str> = results.targets.iter().map(|target| target.name.as_str()).collect();
    match names.as_slice() {
        [] => "Load test".to_owned(),
        [only] => format!("Load test of {only}"),
        many => format!("Load test of {} targets", many.len()),
    }
}

/// Text as HTML, in elements and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
