//! Why a process ended, in words.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// What `describe` says after the replica's name.
pub(crate) fn describe(status: io::Result<ExitStatus>) -> String {
    let status = match status {
        Ok(status) => status,
        Err(failure) => return format!("ended, and why is not known: {failure}"),
    };
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("was killed by {} (signal {signal})", name(signal)),
        (None, None) => "ended".to_owned(),
    }
}

/// What `describe` says of kills for want of memory.
pub(crate) fn out_of_memory(kills: u64, limit: &str) -> String {
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
