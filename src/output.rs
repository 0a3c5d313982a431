//! What a command says: data on stdout, everything else on stderr.
//!
//! Tables and colours are for eyes only. Nothing decorative is written to what is not a terminal, and
//! colour never alone carries meaning. `--output json` prints what the gateway's API says, unchanged.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use tidegate_core::Vars;

use crate::cli::failure::{Exit, Failure};

/// How data is printed.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns for reading.
    #[default]
    Table,
    /// JSON for programs.
    Json,
    /// One page for a browser; what makes one says so.
    Html,
}

/// When colours are used.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Colour {
    /// On a terminal, unless the environment says otherwise.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The two streams, and how to write to them.
#[derive(Clone, Debug)]
pub struct Output {
    format: Format,
    quiet: bool,
    colour_out: bool,
    colour_err: bool,
}

/// The colours in use, by meaning.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Paint {
    /// A heading.
    Bold,
    /// Something went well.
    Good,
    /// Something deserves a look.
    Warn,
    /// Something failed.
    Bad,
    /// Of lesser interest.
    Dim,
}

/// A column: its heading, and whether numbers stand in it.
pub type Column<'a> = (&'a str, Align);

/// Where the text of a column stands.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

impl Paint {
    const fn code(self) -> &'static str {
        match self {
            Self::Bold => "\x1b[1m",
            Self::Good => "\x1b[1;32m",
            Self::Warn => "\x1b[1;33m",
            Self::Bad => "\x1b[1;31m",
            Self::Dim => "\x1b[2m",
        }
    }
}

/// Whether a stream gets colours: the flag decides, else the environment, else the terminal.
fn wants_colour(colour: Colour, vars: &Vars, terminal: bool) -> bool {
    match colour {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto if vars.get("NO_COLOR").is_some() => false,
        Colour::Auto if vars.get("CLICOLOR_FORCE").is_some_and(|text| text != "0") => true,
        Colour::Auto if vars.get("CLICOLOR") == Some("0") => false,
        Colour::Auto if vars.get("TERM") == Some("dumb") => false,
        Colour::Auto => terminal,
    }
}

impl Output {
    /// Settles format and colours.
    pub fn new(format: Format, quiet: bool, colour: Colour, vars: &Vars) -> Self {
        Self {
            format,
            quiet,
            colour_out: wants_colour(colour, vars, io::stdout().is_terminal()),
            colour_err: wants_colour(colour, vars, io::stderr().is_terminal()),
        }
    }

    /// Whether JSON was asked for.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether a page was asked for.
    pub fn is_html(&self) -> bool {
        self.format == Format::Html
    }

    /// Whether only the bare data was asked for.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether stderr gets colours.
    pub fn colours_on_stderr(&self) -> bool {
        self.colour_err
    }

    /// Colours `text` for stdout.
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        painted(self.colour_out, paint, text)
    }

    /// Writes a line of data.
    pub fn line(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.write_all(b"\n")?;
        Ok(out.flush()?)
    }

    /// Writes bytes of data as they are, at once.
    pub fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        Ok(out.flush()?)
    }

    /// Writes a value as indented JSON.
    pub fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::failed("cannot print the answer as JSON").because(error))?;
        self.line(&text)
    }

    /// Writes a table; an empty one is only its headings.
    pub fn table(&self, columns: &[Column<'_>], rows: &[Vec<String>]) -> Result<(), Failure> {
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
        let widths = widths(columns, &rows);
        let heading: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        self.line(&self.paint(Paint::Bold, &lay(columns, &widths, &heading)))?;
        rows.iter().try_for_each(|row| self.line(&lay(columns, &widths, row)))
    }

    /// Writes `Name:    value` lines, the values under each other.
    pub fn fields(&self, fields: &[(&str, String)]) -> Result<(), Failure> {
        let width = fields.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0) + 1;
        for (name, value) in fields {
            let heading = self.paint(Paint::Bold, &format!("{:width$}", format!("{name}:")));
            let mut lines = value.lines();
            self.line(format!("{heading}  {}", plain(lines.next().unwrap_or("-"))).trim_end())?;
            for line in lines {
                self.line(&format!("{:width$}  {}", "", plain(line)))?;
            }
        }
        Ok(())
    }

    /// Tells of a step that is done, the verb right-aligned as cargo does.
    pub fn done(&self, verb: &str, what: &str) {
        if !self.quiet {
            self.say(&format!("{} {what}", self.paint_err(Paint::Good, &format!("{verb:>12}"))));
        }
    }

    /// Tells of something in passing.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// Tells what was asked for by a flag of its own, so also when quiet.
    pub fn told(&self, text: &str) {
        self.say(text);
    }

    /// Warns; not silenced by `--quiet`, for a warning may be why the result surprises.
    pub fn warn(&self, text: &str) {
        self.say(&format!("{}: {text}", self.paint_err(Paint::Warn, "warning")));
    }

    /// Names a useful next command.
    pub fn next(&self, command: &str) {
        if !self.quiet {
            self.say(&format!("{} {command}", self.paint_err(Paint::Dim, "next:")));
        }
    }

    /// Tells of a failure: what, because of what, what helps.
    pub fn failure(&self, failure: &Failure) {
        if failure.exit == Exit::ReaderGone {
            return;
        }
        self.say(&format!("{}: {failure}", self.paint_err(Paint::Bad, "error")));
        for (heading, text) in failure.details() {
            // Indented under the heading, so that snippets with carets keep their columns.
            let mut lines = text.lines();
            let mut text = lines.next().unwrap_or_default().to_owned();
            for line in lines {
                text = format!("{text}\n{}", format!("           {line}").trim_end());
            }
            self.say(&format!("{}: {text}", self.paint_err(Paint::Bold, &format!("{heading:>9}"))));
        }
    }

    fn paint_err(&self, paint: Paint, text: &str) -> String {
        painted(self.colour_err, paint, text)
    }

    /// A stderr that is gone leaves nobody to tell.
    fn say(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

fn painted(colour: bool, paint: Paint, text: &str) -> String {
    if colour { format!("{}{text}\x1b[0m", paint.code()) } else { text.to_owned() }
}

/// A cell on one line and without control characters, which could move the cursor or worse.
fn plain(cell: &str) -> String {
    cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn widths(columns: &[Column<'_>], rows: &[Vec<String>]) -> Vec<usize> {
    let width = |index: usize, name: &str| {
        let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.chars().count());
        cells.chain([name.chars().count()]).max().unwrap_or(0)
    };
    columns.iter().enumerate().map(|(index, (name, _))| width(index, name)).collect()
}

fn lay(columns: &[Column<'_>], widths: &[usize], cells: &[String]) -> String {
    let mut line = String::new();
    for ((cell, width), (_, align)) in cells.iter().zip(widths).zip(columns) {
        if !line.is_empty() {
            line.push_str("  ");
        }
        line += &match align {
            Align::Left => format!("{cell:width$}"),
            Align::Right => format!("{cell:>width$}"),
        };
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> Vars {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn the_flag_beats_the_environment_and_the_environment_beats_the_terminal() {
        let no_color = vars(&[("NO_COLOR", "1")]);
        assert!(wants_colour(Colour::Always, &no_color, false));
        assert!(!wants_colour(Colour::Auto, &no_color, true));
        assert!(!wants_colour(Colour::Never, &vars(&[("CLICOLOR_FORCE", "1")]), true));
        assert!(wants_colour(Colour::Auto, &vars(&[("CLICOLOR_FORCE", "1")]), false));
        assert!(!wants_colour(Colour::Auto, &vars(&[("CLICOLOR", "0")]), true));
        assert!(!wants_colour(Colour::Auto, &vars(&[("TERM", "dumb")]), true));
        assert!(wants_colour(Colour::Auto, &vars(&[("NO_COLOR", "")]), true));
        assert!(!wants_colour(Colour::Auto, &vars(&[]), false));
    }

    #[test]
    fn columns_stand_under_each_other() {
        let columns = [("NAME", Align::Left), ("CALLS", Align::Right)];
        let rows = [vec!["cat".to_owned(), "12".to_owned()]];
        let widths = widths(&columns, &rows);
        assert_eq!(widths, [4, 5]);
        assert_eq!(lay(&columns, &widths, &rows[0]), "cat      12");
    }

    #[test]
    fn a_cell_cannot_move_the_cursor() {
        assert_eq!(plain("a\x1b[2Jb\nc"), "a [2Jb c");
    }
}
