//! The command line: nothing, `-version`, or `-run-healthcheck`.
//!
//! One dash and two dashes both work, as do `=true` and `=false`, like Go's flags.

use std::ffi::OsString;

/// What the caller wants of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Serve until told to stop.
    Serve,
    /// Print the version.
    Version,
    /// Look for the lock file.
    Healthcheck,
    /// Print how this is called.
    Help,
    /// Something else; the word is reported.
    Unknown(String),
}

/// How this is called.
pub const USAGE: &str = "usage: fwatchdog [-version] [-run-healthcheck]\n\
    Everything else is set in the environment; start with fprocess and mode.";

/// Reads the arguments after the program's name.
pub fn wish(args: &[OsString]) -> Wish {
    let mut wish = Wish::Serve;
    // Called through a program of many commands, the first word is this one's name.
    let own_name = usize::from(args.first().is_some_and(|arg| arg == "fwatchdog"));
    for arg in args.iter().skip(own_name) {
        let text = arg.to_string_lossy();
        let flag = text.strip_prefix("--").or_else(|| text.strip_prefix('-'));
        wish = match flag {
            Some("version" | "version=true" | "V") => Wish::Version,
            Some("run-healthcheck" | "run-healthcheck=true") => Wish::Healthcheck,
            Some("h" | "help") => Wish::Help,
            Some("version=false" | "run-healthcheck=false") => continue,
            _ => return Wish::Unknown(text.into_owned()),
        };
    }
    wish
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(args: &[&str]) -> Wish {
        wish(&args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn flags_work_with_one_dash_and_with_two() {
        assert_eq!(of(&[]), Wish::Serve);
        assert_eq!(of(&["fwatchdog"]), Wish::Serve);
        assert_eq!(of(&["-version"]), Wish::Version);
        assert_eq!(of(&["fwatchdog", "--run-healthcheck"]), Wish::Healthcheck);
        assert_eq!(of(&["--version=false"]), Wish::Serve);
        assert_eq!(of(&["-nonsense"]), Wish::Unknown("-nonsense".into()));
    }
}
