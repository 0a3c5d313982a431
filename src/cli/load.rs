//! `tidegate load`: the load tester, with hey's flags as people type them.
//!
//! Its words are not clap's: `-n`, `-o` and `-t` mean here what they mean to hey, and `-h2` is one flag. So
//! they are taken aside before clap reads the command line, and read by [`tidegate_loadtest::args`].

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use tidegate_core::Vars;
use tidegate_loadtest::args::{self, BadArgs, Command, Flags};
use tidegate_loadtest::order::Order;
use tidegate_loadtest::session::{self, Surroundings};

use super::failure::{Exit, Failure};
use super::{Cli, Global};
use crate::client::{Credential, GatewayUrl, Sources};
use crate::output::{Format, Output};

/// Takes all words, for the list of commands only; see [`wanted`].
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Args {
    /// hey's flags and more; see: tidegate load --help
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS AND URL")]
    words: Vec<OsString>,
}

/// Global flags that take the next word.
const WITH_VALUE: [&str; 9] = [
    "-g",
    "--gateway",
    "-n",
    "--namespace",
    "-o",
    "--output",
    "--color",
    "--timeout",
    "--state-dir",
];

/// A command line of the load tester: the words before `load`, and those behind it.
pub struct Wanted {
    before: Vec<OsString>,
    words: Vec<OsString>,
}

/// Whether the command is `load`, global flags in front or not.
pub fn wanted(args: &[OsString]) -> Option<Wanted> {
    let mut index = 1;
    loop {
        let word = args.get(index)?.to_str()?;
        match word {
            "load" => break,
            "help" if args.get(index + 1).is_some_and(|next| next == "load") => {
                return Some(Wanted {
                    before: args[..index].to_vec(),
                    words: vec!["--help".into()],
                });
            }
            flag if WITH_VALUE.contains(&flag) => index += 2,
            flag if flag.starts_with('-') => index += 1,
            _ => return None,
        }
    }
    Some(Wanted { before: args[..index].to_vec(), words: args[index + 1..].to_vec() })
}

/// Reads the words and does what they say.
pub fn run(wanted: Wanted, vars: Vars) -> ExitCode {
    let Wanted { mut before, words } = wanted;
    before.push("load".into());
    let global = match Cli::try_parse_from(before) {
        Ok(cli) => cli.global,
        Err(error) => error.exit(),
    };
    let output = Output::new(global.output, global.quiet, global.color, &vars);
    let command = args::shown(&words);
    let done = match args::parse(words) {
        Ok(Command::Help(help)) => output.bytes(help.as_bytes()).map(|()| 0),
        Ok(Command::Run(flags)) => carry_out(with_global(*flags, &global), command, &output, &vars),
        Err(error) => Err(refused(error)),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            output.failure(&failure);
            failure.exit.into()
        }
    }
}

fn refused(BadArgs(sentence): BadArgs) -> Failure {
    Failure::usage(sentence).help("see all flags, with examples: tidegate load --help")
}

/// Global flags in front of `load` count where the command says nothing itself.
fn with_global(mut flags: Flags, global: &Global) -> Flags {
    flags.gateway = flags.gateway.or_else(|| global.gateway.clone());
    flags.timeout = flags.timeout.or(global.timeout);
    flags.state_dir = flags.state_dir.or_else(|| global.state_dir.clone());
    flags.quiet |= global.quiet;
    flags.password_stdin |= global.password_stdin;
    if global.output == Format::Json {
        flags.output = args::Output::Json;
    }
    flags
}

fn carry_out(flags: Flags, command: String, output: &Output, vars: &Vars) -> Result<u8, Failure> {
    let mut vars = vars.clone();
    if let Some(dir) = flags.state_dir.as_ref().and_then(|dir| dir.to_str()) {
        vars.set("TIDEGATE_STATE_DIR", dir);
    }
    let order = Order::new(flags, command).map_err(refused)?;
    let credentials =
        order.gateway.as_deref().map(|gateway| credentials(gateway, &order, &vars)).transpose()?;
    let surroundings = Surroundings {
        credentials: credentials.unwrap_or_default(),
        colour: output.colours_on_stderr(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("cannot start the async runtime").because(error))?;
    let ended = runtime.block_on(session::execute(order, surroundings));
    runtime.shutdown_background();
    match ended {
        Ok(ending) => Ok(ending.code()),
        Err(error) => {
            if error.code() != 0 {
                let exit = if error.code() == 2 { Exit::Usage } else { Exit::Failed };
                output.failure(&Failure::new(exit, &error));
            }
            Ok(error.code())
        }
    }
}

/// What other commands would show this gateway. Speaking TLS is for the load tester to do, so the
/// address is looked up as if it were plain.
fn credentials(
    gateway: &str,
    order: &Order,
    vars: &Vars,
) -> Result<Vec<http::HeaderValue>, Failure> {
    let url = GatewayUrl::parse(&gateway.replacen("https://", "http://", 1))?;
    let state_dir = tidegate::config::default_state_dir(vars);
    let sources = Sources::look(&url, vars, state_dir.as_deref(), order.password_stdin)?;
    Ok(sources.all().iter().map(Credential::header).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Option<(usize, Vec<String>)> {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let found = wanted(&args)?;
        let words = found.words.iter().map(|word| word.to_string_lossy().into_owned());
        Some((found.before.len(), words.collect()))
    }

    #[test]
    fn only_the_command_load_is_taken_aside() {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(split("tidegate load -n 1 u"), Some((1, words(&["-n", "1", "u"]))));
        assert_eq!(split("tidegate -g http://g -q load u"), Some((4, words(&["u"]))));
        assert_eq!(split("tidegate --gateway=http://g load"), Some((2, words(&[]))));
        assert_eq!(split("tidegate help load"), Some((1, words(&["--help"]))));
        for other in [
            "tidegate",
            "tidegate list load",
            "tidegate -g load list",
            "tidegate invoke load",
            "tidegate help",
            "tidegate -n load",
        ] {
            assert_eq!(split(other), None, "{other}");
        }
    }

    #[test]
    fn global_flags_in_front_count() {
        let cli = Cli::try_parse_from([
            "tidegate",
            "-g",
            "http://g",
            "-o",
            "json",
            "--timeout",
            "3s",
            "load",
        ]);
        let global = cli.expect("good flags").global;
        let Ok(Command::Run(flags)) = args::parse(vec!["http://127.0.0.1/".into()]) else {
            panic!("a run")
        };
        let flags = with_global(*flags, &global);
        assert_eq!(flags.gateway.as_deref(), Some("http://g"));
        assert_eq!(flags.output, args::Output::Json);
        assert_eq!(flags.timeout, Some(std::time::Duration::from_secs(3)));
    }
}
