//! What came back on a connection, and the search in its body.

use std::io;
use std::time::Instant;

use thiserror::Error;

use super::parser::BadAnswer;

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Bytes of body as they arrived: not decoded.
    pub(crate) bytes: u64,
    /// Whether the connection can carry another call.
    pub(crate) keep: bool,
    /// `Location`, of an answer 3xx.
    pub(crate) location: Option<Box<str>>,
    /// Whether the body held what was looked for; true when nothing was.
    pub(crate) found: bool,
    pub(crate) written: Instant,
    pub(crate) first: Instant,
    pub(crate) done: Instant,
}

/// Why there is no whole answer.
#[derive(Debug, Error)]
pub(crate) enum Broken {
    /// Hung up before a first byte; on a connection that was used before, likely idle for too long.
    #[error("the server closed the connection without an answer")]
    Closed,
    #[error("the connection broke before an answer: {}", io_text(.0))]
    Unanswered(#[source] io::Error),
    #[error("the connection broke within an answer: {}", io_text(.0))]
    Io(#[source] io::Error),
    #[error("{0}")]
    Answer(#[source] BadAnswer),
    #[error("HTTP/2: {0}")]
    Http2(String),
}

/// The error without its number: `connection reset by peer`.
pub(crate) fn io_text(error: &io::Error) -> String {
    let text = error.to_string();
    let plain = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = plain.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// Looks for a text in a body that comes in pieces.
pub(crate) struct Finder<'a> {
    needle: &'a [u8],
    /// The end of what was seen, where the text may have begun.
    tail: Vec<u8>,
    found: bool,
}

impl<'a> Finder<'a> {
    pub(crate) fn new(needle: &'a str) -> Self {
        Self { needle: needle.as_bytes(), tail: Vec::new(), found: needle.is_empty() }
    }

    pub(crate) fn found(&self) -> bool {
        self.found
    }

    pub(crate) fn push(&mut self, piece: &[u8]) {
        if self.found {
            return;
        }
        let keep = self.needle.len() - 1;
        // Across the border, then inside.
        let border = piece.len().min(keep);
        self.tail.extend_from_slice(&piece[..border]);
        self.found = holds(&self.tail, self.needle) || holds(piece, self.needle);
        if piece.len() >= keep {
            self.tail.clear();
            self.tail.extend_from_slice(&piece[piece.len() - keep..]);
        } else if self.tail.len() > keep {
            self.tail.drain(..self.tail.len() - keep);
        }
    }
}

fn holds(text: &[u8], needle: &[u8]) -> bool {
    text.len() >= needle.len() && text.windows(needle.len()).any(|window| window == needle)
}
