//! What is in a file, in pieces: the first one at once, the others as the answer goes out.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use rustix::fs::OFlags;

use crate::content_type;
use crate::reply::{Answer, Cut};

/// Bytes read from a file at once.
pub const PIECE: u64 = 64 * 1024;
/// Bytes at a file's start that tell its kind.
const TELLING: usize = 512;

/// An open file.
#[derive(Debug)]
pub struct Content(Arc<File>);

/// A part of a file: a piece that was read, and what is to be read after it.
#[derive(Debug)]
pub struct Part {
    piece: Bytes,
    file: Arc<File>,
    /// Where the rest starts.
    at: u64,
    /// Bytes of the rest.
    left: u64,
}

/// Opens a file or folder, and says what it is. Does not wait for a pipe's other end.
///
/// # Errors
/// When it is not there, or may not be read.
pub fn open(path: &Path) -> io::Result<(Content, Metadata)> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let found = file.metadata()?;
    Ok((Content(Arc::new(file)), found))
}

impl Content {
    /// The part of `count` bytes from `start` on, its first piece read.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn part(&self, start: u64, count: u64) -> io::Result<Part> {
        let piece = if count == 0 { Bytes::new() } else { read(&self.0, start, count)? };
        let length = piece.len() as u64;
        Ok(Part { piece, file: Arc::clone(&self.0), at: start + length, left: count - length })
    }

    /// The content type: by the name in `path`, else by the first of the file's `length` bytes, which
    /// are in `part` when it starts at 0 and is not short.
    ///
    /// # Errors
    /// When the first bytes cannot be read.
    pub fn kind(
        &self,
        path: &Path,
        length: u64,
        start: u64,
        part: &Part,
    ) -> io::Result<&'static str> {
        if let Some(kind) = path.file_name().and_then(|name| content_type::by_name(name.to_str()?))
        {
            return Ok(kind);
        }
        let telling = usize::try_from(length).unwrap_or(TELLING).min(TELLING);
        if start == 0
            && let Some(first) = part.piece.get(..telling)
        {
            return Ok(content_type::sniffed(first));
        }
        Ok(content_type::sniffed(&read(&self.0, 0, TELLING as u64)?))
    }
}

impl Part {
    /// All of a file of this length, when this is it.
    pub fn whole(&self, length: u64) -> Option<Bytes> {
        let is_whole = self.left == 0 && self.piece.len() as u64 == length;
        is_whole.then(|| self.piece.clone())
    }
}

impl AsFd for Content {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Part> for Answer {
    fn from(part: Part) -> Self {
        if part.left == 0 {
            return Self::Bytes(part.piece);
        }
        Self::Pieces(Box::pin(stream::try_unfold(part, |mut part| async move {
            if !part.piece.is_empty() {
                return Ok(Some((std::mem::take(&mut part.piece), part)));
            }
            if part.left == 0 {
                return Ok(None);
            }
            let (file, at, left) = (Arc::clone(&part.file), part.at, part.left);
            let reading = tokio::task::spawn_blocking(move || read(&file, at, left));
            let piece = reading.await.unwrap_or_else(|fault| Err(io::Error::other(fault)))?;
            if piece.is_empty() {
                // It was cut short while it was read: the announced length cannot be kept.
                return Err(Cut::File(io::ErrorKind::UnexpectedEof.into()));
            }
            part.at += piece.len() as u64;
            part.left -= piece.len() as u64;
            Ok(Some((piece, part)))
        })))
    }
}

/// Up to a piece of what is at `start`, and no more than `most` bytes; less only at the file's end.
fn read(file: &File, start: u64, most: u64) -> io::Result<Bytes> {
    let mut piece = vec![0; usize::try_from(most.min(PIECE)).unwrap_or(0)];
    let mut filled = 0;
    while filled < piece.len() {
        match file.read_at(&mut piece[filled..], start + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            Err(fault) => return Err(fault),
        }
    }
    piece.truncate(filled);
    Ok(piece.into())
}
