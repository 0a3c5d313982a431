//! The two text formats, written in pieces: with 10,000 functions it is 9 MB of text.
//!
//! OpenMetrics is what the registry writes. The Prometheus text format 0.0.4 differs in the comments: it
//! names a counter with its `_total`, knows no `UNIT` and no `EOF`, and calls `untyped` what OpenMetrics calls
//! `unknown`.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;

/// Longest piece. The allocator keeps what was freed of longer ones for itself.
const PIECE: usize = 64 << 10;

/// Text in pieces.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    full: VecDeque<Bytes>,
    last: String,
}

impl Pieces {
    /// All that was written.
    pub(super) fn finish(mut self) -> VecDeque<Bytes> {
        if !self.last.is_empty() {
            self.full.push_back(self.last.into());
        }
        self.full
    }

    fn push(&mut self, text: &str) {
        if self.last.len() + text.len() > PIECE {
            let full = std::mem::replace(&mut self.last, String::with_capacity(PIECE));
            if !full.is_empty() {
                self.full.push_back(full.into());
            }
        }
        self.last.push_str(text);
    }
}

impl fmt::Write for Pieces {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}

/// A counter whose name OpenFaaS fixed before counters had to end in `_total`: OpenMetrics only takes it
/// as of unknown type.
pub(super) const STARTED: &str = "gateway_function_invocation_started";

/// Takes OpenMetrics text as it is written, piece by piece, and keeps it as 0.0.4.
#[derive(Debug, Default)]
pub(super) struct Rewriter {
    out: Pieces,
    /// The comment line being written, or nothing while a sample is.
    comment: String,
    /// Within a line that is no comment.
    in_sample: bool,
    /// HELP comes before TYPE, which alone knows the final name.
    help: Option<(String, String)>,
}

impl Rewriter {
    /// All that was written.
    pub(super) fn finish(self) -> VecDeque<Bytes> {
        self.out.finish()
    }

    fn piece(&mut self, piece: &str) {
        if !self.in_sample && self.comment.is_empty() {
            self.in_sample = !piece.starts_with('#');
        }
        if self.in_sample {
            self.out.push(piece);
        } else {
            self.comment.push_str(piece);
        }
        if piece.ends_with('\n') {
            self.in_sample = false;
            let comment = std::mem::take(&mut self.comment);
            self.comment(comment.trim_end_matches('\n'));
        }
    }

    fn comment(&mut self, line: &str) {
        let mut words = line.splitn(4, ' ').skip(1);
        match (words.next(), words.next(), words.next()) {
            (Some("HELP"), Some(name), text) => {
                self.help = Some((name.to_owned(), text.unwrap_or_default().to_owned()));
            }
            (Some("TYPE"), Some(name), Some(kind)) => {
                let help = self.help.take();
                let help = help.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
                write_family(&mut self.out, name, kind, help);
            }
            _ => {}
        }
    }
}

impl fmt::Write for Rewriter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.split_inclusive('\n').for_each(|piece| self.piece(piece));
        Ok(())
    }
}

fn write_family(out: &mut Pieces, name: &str, kind: &str, help: Option<(&str, &str)>) {
    let (suffix, kind) = match kind {
        "counter" => ("_total", "counter"),
        "unknown" if name == STARTED => ("", "counter"),
        "unknown" => ("", "untyped"),
        "info" => ("_info", "gauge"),
        kind => ("", kind),
    };
    if let Some((_, text)) = help.filter(|(of, _)| *of == name) {
        for part in ["# HELP ", name, suffix, " ", text, "\n"] {
            out.push(part);
        }
    }
    for part in ["# TYPE ", name, suffix, " ", kind, "\n"] {
        out.push(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    #[test]
    fn comments_are_rewritten_and_samples_kept() {
        let open_metrics = "# HELP calls Calls made.\n# TYPE calls counter\ncalls_total{a=\"# TYPE\"} 1\n\
            # HELP wait_seconds Waits.\n# TYPE wait_seconds histogram\n# UNIT wait_seconds seconds\nwait_seconds_sum 2.0\n\
            # HELP gateway_function_invocation_started S.\n# TYPE gateway_function_invocation_started unknown\ngateway_function_invocation_started 3\n# EOF\n";
        let text = "# HELP calls_total Calls made.\n# TYPE calls_total counter\ncalls_total{a=\"# TYPE\"} 1\n\
            # HELP wait_seconds Waits.\n# TYPE wait_seconds histogram\nwait_seconds_sum 2.0\n\
            # HELP gateway_function_invocation_started S.\n# TYPE gateway_function_invocation_started counter\ngateway_function_invocation_started 3\n";
        // However it is cut into pieces.
        for length in 1..open_metrics.len() {
            let mut rewriter = Rewriter::default();
            for piece in open_metrics.as_bytes().chunks(length) {
                let piece = str::from_utf8(piece).expect("ASCII");
                rewriter.write_str(piece).expect("it only grows");
            }
            let written = rewriter.finish().into_iter().flatten().collect::<Vec<u8>>();
            assert_eq!(str::from_utf8(&written), Ok(text), "in pieces of {length}");
        }
    }

    #[test]
    fn no_piece_is_long_and_nothing_is_lost() {
        let mut pieces = Pieces::default();
        let line = "gateway_function_invocation_total{code=\"200\"} 17\n";
        for _ in 0..10_000 {
            pieces.write_str(line).expect("it only grows");
        }
        let written = pieces.finish();
        assert!(written.iter().all(|piece| piece.len() <= PIECE));
        assert_eq!(
            written.iter().flatten().copied().collect::<Vec<u8>>(),
            line.repeat(10_000).into_bytes()
        );
    }
}
