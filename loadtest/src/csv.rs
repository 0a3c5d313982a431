//! `-o csv`: hey's columns, a row for each answered call, written while they come.

use std::io::{self, Write};

use crate::run::Call;

/// hey's first line.
pub const HEADER: &str =
    "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset";

/// Writes rows; memory stays flat however long the run.
#[derive(Debug)]
pub struct Rows<W: Write> {
    out: W,
    failed: Option<io::Error>,
}

impl<W: Write> Rows<W> {
    /// Begins with the header.
    pub fn new(out: W) -> Self {
        let mut rows = Self { out, failed: None };
        let header = writeln!(rows.out, "{HEADER}");
        rows.failed = header.err();
        rows
    }

    /// One call; as in hey only those with an answer have a row.
    pub fn write(&mut self, call: &Call) {
        let Ok(status) = call.end else { return };
        if self.failed.is_some() {
            return;
        }
        let [total, dial, dns, write, wait, read, offset] = [
            call.done.saturating_sub(call.sent),
            call.dial,
            call.dns,
            call.write,
            call.wait,
            call.read,
            call.sent,
        ]
        .map(|span| span.as_secs_f64());
        let row = writeln!(
            self.out,
            "{total:.4},{dial:.4},{dns:.4},{write:.4},{wait:.4},{read:.4},{status},{offset:.4}"
        );
        self.failed = row.err();
    }

    /// Writes what is left, and gives back where it went.
    ///
    /// # Errors
    /// The first that any row met; one is enough to stop writing.
    pub fn finish(mut self) -> io::Result<W> {
        match self.failed.take() {
            Some(error) => Err(error),
            None => self.out.flush().map(|()| self.out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn rows_have_heys_columns() {
        let ms = Duration::from_millis;
        let answered = Call {
            target: 0,
            due: ms(100),
            sent: ms(150),
            done: ms(182),
            dial: Duration::from_micros(1_250),
            dns: ms(0),
            write: ms(1),
            wait: ms(29),
            read: ms(1),
            bytes: 3,
            end: Ok(200),
        };
        let failed = Call { end: Err("refused".into()), ..answered.clone() };
        let mut bytes = Vec::new();
        let mut rows = Rows::new(&mut bytes);
        rows.write(&answered);
        rows.write(&failed);
        rows.finish().expect("written");
        let text = String::from_utf8(bytes).expect("text");
        assert_eq!(
            text,
            format!("{HEADER}\n0.0320,0.0013,0.0000,0.0010,0.0290,0.0010,200,0.1500\n")
        );
    }
}
