//! Why a process ended, in words that follow the replica's name.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use tidegate_provider::CrashReason;

/// Why a replica ended that nobody had told to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The kind.
    pub reason: CrashReason,
    /// What a user should know, such as `exited with code 3`.
    pub why: String,
}

impl Cause {
    /// A cause in words.
    pub fn new(reason: CrashReason, why: impl Into<String>) -> Self {
        Self { reason, why: why.into() }
    }

    /// The same after processes were killed for want of memory, which `told` says.
    #[must_use]
    pub fn after_memory_kills(self, told: &str) -> Self {
        Self::new(CrashReason::OutOfMemory, format!("{told}; {}", self.why))
    }
}

/// What to say of an exit status.
pub fn describe(status: io::Result<ExitStatus>) -> Cause {
    let status = match status {
        Ok(status) => status,
        Err(failure) => {
            let why = format!("ended, and why is not known: {failure}");
            return Cause::new(CrashReason::Unknown, why);
        }
    };
    match (status.code(), status.signal()) {
        (Some(code), _) => with_code(code),
        (None, Some(signal)) => by_signal(signal),
        (None, None) => Cause::new(CrashReason::Unknown, "ended"),
    }
}

/// What to say of an exit code.
pub fn with_code(code: i32) -> Cause {
    Cause::new(CrashReason::ExitCode, format!("exited with code {code}"))
}

/// What to say of a process that a signal ended.
pub fn by_signal(signal: i32) -> Cause {
    let why = format!("was killed by {} (signal {signal})", name(signal));
    Cause::new(CrashReason::Signal, why)
}

/// What to say of a status in which signals are 128 and more: a shell's convention, and containerd's.
pub fn by_status(status: u32) -> Cause {
    match status {
        129..=192 => by_signal((status - 128).cast_signed()),
        code => with_code(code.cast_signed()),
    }
}

/// What to say of kills for want of memory.
pub fn out_of_memory(kills: u64, limit: &str) -> String {
    let times =
        if kills == 1 { "a process was".to_owned() } else { format!("{kills} processes were") };
    format!("out of memory: {times} killed at the limit of {limit}")
}

fn name(signal: i32) -> &'static str {
    match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        31 => "SIGSYS",
        _ => "a signal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_status_reads_as_words() {
        assert_eq!(describe(Ok(ExitStatus::from_raw(3 << 8))).why, "exited with code 3");
        assert_eq!(describe(Ok(ExitStatus::from_raw(9))).why, "was killed by SIGKILL (signal 9)");
    }
}
