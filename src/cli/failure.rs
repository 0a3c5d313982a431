//! Why a command did not succeed: what happened, because of what, what helps, and the exit code.
//!
//! The codes are public interface (`tidegate help exit-codes`): scripts branch on them, so a code
//! keeps its meaning for ever.

use std::fmt;
use std::io;
use std::process::ExitCode;

use thiserror::Error;

pub use tidegate::causes::chain;

/// The text of `tidegate help exit-codes`, and the end of `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
    0  success
    1  the operation failed
    2  usage: unknown command or flag, or a value that is not allowed
    3  not found
    4  not allowed: the password is missing or wrong
    5  the gateway cannot be reached
    6  a check did not pass (doctor)
    7  timed out
  130  interrupted (Ctrl-C)
  143  terminated (SIGTERM), where it did not end in good order";

/// What kind of end a command came to; each is an exit code.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The operation failed.
    Failed,
    /// The command line or an input file is wrong.
    Usage,
    /// What was named does not exist.
    NotFound,
    /// The password is missing or wrong.
    NotAllowed,
    /// The gateway cannot be reached.
    Unreachable,
    /// A check did not pass.
    Check,
    /// Took longer than allowed.
    TimedOut,
    /// The reader of our output has gone (`tidegate list | head -1`): no failure at all.
    ReaderGone,
}

/// A command's failure as its user reads it.
#[derive(Debug, Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code to end with.
    pub exit: Exit,
    message: String,
    because: Option<String>,
    help: Option<String>,
}

impl Exit {
    /// The documented number.
    pub const fn code(self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::NotAllowed => 4,
            Self::Unreachable => 5,
            Self::Check => 6,
            Self::TimedOut => 7,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl Failure {
    /// A failure of this kind.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string(), because: None, help: None }
    }

    /// A command line or input file that cannot work.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// An operation that failed.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Adds the cause; an empty one is none.
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.because = Some(cause.to_string()).filter(|cause| !cause.trim().is_empty());
        self
    }

    /// Adds what to do about it.
    pub fn help(mut self, help: impl fmt::Display) -> Self {
        self.help = Some(help.to_string());
        self
    }

    /// The lines after the first, each with its heading.
    pub fn details(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let because = self.because.as_deref().map(|text| ("because", text.trim_end()));
        let help = self.help.as_deref().map(|text| ("help", text));
        because.into_iter().chain(help)
    }
}

impl From<io::Error> for Failure {
    /// Of writing to stdout; whoever reads or writes anything else names it.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::ReaderGone, "the reader of the output has gone");
        }
        Self::failed("cannot write the output").because(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_documented() {
        let all = [
            Exit::Failed,
            Exit::Usage,
            Exit::NotFound,
            Exit::NotAllowed,
            Exit::Unreachable,
            Exit::Check,
            Exit::TimedOut,
            Exit::ReaderGone,
        ];
        for exit in all {
            let line = format!("\n  {:>3}  ", exit.code());
            assert!(EXIT_CODES.contains(&line), "{exit:?}");
        }
    }

    #[test]
    fn a_chain_says_each_cause_once() {
        let inner = io::Error::other("connection refused");
        let outer = io::Error::other(inner);
        assert_eq!(chain(&outer), "connection refused");
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.exit.code(), 0);
    }
}
