//! Why a process ended, in words that follow the replica's name.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// What to say of an exit status.
pub fn describe(status: io::Result<ExitStatus>) -> String {
    let status = match status {
        Ok(status) => status,
        Err(failure) => return format!("ended, and why is not known: {failure}"),
    };
    match (status.code(), status.signal()) {
        (Some(code), _) => with_code(code),
        (None, Some(signal)) => by_signal(signal),
        (None, None) => "ended".to_owned(),
    }
}

/// What to say of an exit code.
pub fn with_code(code: i32) -> String {
    format!("exited with code {code}")
}

/// What to say of a process that a signal ended.
pub fn by_signal(signal: i32) -> String {
    format!("was killed by {} (signal {signal})", name(signal))
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
        assert_eq!(describe(Ok(ExitStatus::from_raw(3 << 8))), "exited with code 3");
        assert_eq!(describe(Ok(ExitStatus::from_raw(9))), "was killed by SIGKILL (signal 9)");
    }
}
