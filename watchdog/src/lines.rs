//! Relays what a child prints to the log, line by line.
//!
//! A line longer than the buffer is split and reading goes on: a child must never block because
//! its log was not read.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use crate::clock;
use crate::log::{Log, Stream};

/// How a child's lines appear in the log.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct LineStyle {
    /// Date, time and stream in front of each line.
    pub prefix: bool,
    /// Longest line in bytes, or none; a longer one is split.
    pub longest: Option<usize>,
}

/// Splits bytes into lines of bounded length.
#[derive(Debug)]
pub struct Splitter {
    rest: Vec<u8>,
    longest: Option<usize>,
}

impl Splitter {
    /// A splitter for lines of up to `longest` bytes.
    pub fn new(longest: Option<usize>) -> Self {
        Self { rest: Vec::new(), longest: longest.map(|most| most.max(1)) }
    }

    /// Takes in `bytes` and hands each finished line, without its end, to `emit`.
    pub fn feed(&mut self, mut bytes: &[u8], mut emit: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let room = self.longest.map_or(usize::MAX, |most| most - self.rest.len());
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let take = end.unwrap_or(bytes.len()).min(room);
            let (line, after) = bytes.split_at(take);
            self.rest.extend_from_slice(line);
            if after.first() == Some(&b'\n') {
                emit(&self.rest);
                self.rest.clear();
                bytes = &after[1..];
            } else {
                if self.longest == Some(self.rest.len()) {
                    emit(&self.rest);
                    self.rest.clear();
                }
                bytes = after;
            }
        }
    }

    /// Hands a last line without an end to `emit`.
    pub fn finish(&mut self, emit: impl FnOnce(&[u8])) {
        if !self.rest.is_empty() {
            emit(&self.rest);
            self.rest.clear();
        }
    }
}

/// Relays `from` until its last writer is gone.
pub async fn relay(from: OwnedFd, stream: Stream, style: LineStyle, log: Log) -> io::Result<()> {
    let mut from = pipe::Receiver::from_owned_fd(from)?;
    let mut splitter = Splitter::new(style.longest);
    let mut chunk = vec![0; 8 * 1024];
    loop {
        let count = from.read(&mut chunk).await?;
        let mut text = Vec::with_capacity(count + 64);
        if count == 0 {
            splitter.finish(|line| push_line(&mut text, line, stream, style.prefix));
        } else {
            splitter.feed(&chunk[..count], |line| {
                push_line(&mut text, line, stream, style.prefix);
            });
        }
        if !text.is_empty() {
            log.raw(stream, &text).await;
        }
        if count == 0 {
            return Ok(());
        }
    }
}

fn push_line(text: &mut Vec<u8>, line: &[u8], stream: Stream, prefix: bool) {
    if prefix {
        text.extend_from_slice(clock::stamp().as_bytes());
        text.extend_from_slice(match stream {
            Stream::Out => b"stdout: ",
            Stream::Err => b"stderr: ",
        });
    }
    text.extend_from_slice(line);
    text.push(b'\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[&[u8]], longest: Option<usize>) -> Vec<Vec<u8>> {
        let mut splitter = Splitter::new(longest);
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.feed(chunk, |line| lines.push(line.to_vec()));
        }
        splitter.finish(|line| lines.push(line.to_vec()));
        lines
    }

    #[test]
    fn a_long_line_is_split_and_nothing_is_lost() {
        assert_eq!(
            split(&[b"abc", b"defg\nh\n", b"\ni"], Some(4)),
            [&b"abcd"[..], b"efg", b"h", b"", b"i"]
        );
    }

    proptest! {
        #[test]
        fn lines_are_whole_however_they_arrive(
            lines in prop::collection::vec("[a-z]{0,20}", 1..10), cut in 1_usize..7,
        ) {
            let text = lines.join("\n") + "\n";
            let chunks: Vec<_> = text.as_bytes().chunks(cut).collect();
            let expected: Vec<_> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
            prop_assert_eq!(split(&chunks, None), expected);
        }

        #[test]
        fn every_byte_comes_out_and_no_line_is_too_long(
            bytes in prop::collection::vec(any::<u8>(), 0..200), longest in 1_usize..20, cut in 1_usize..50,
        ) {
            let chunks: Vec<_> = bytes.chunks(cut).collect();
            let lines = split(&chunks, Some(longest));
            prop_assert!(lines.iter().all(|line| line.len() <= longest));
            let kept: Vec<u8> = lines.concat();
            let expected: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != b'\n').collect();
            prop_assert_eq!(kept, expected);
        }
    }
}
