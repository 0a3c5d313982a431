//! The command line: what can be said, and who does it.
//!
//! ```text
//! args ─► Cli (clap) ─► Context: settings, output, gateway ─► cli/COMMAND.rs ─► exit code
//! ```
//!
//! Flags beat `TIDEGATE_…` variables, which beat the stack file, which beats OpenFaaS's variables, which
//! beat defaults. A command that succeeds ends with the next useful one; one that fails says the cause
//! and what helps.

mod completion;
mod compose;
mod context;
pub mod demo;
mod deploy;
mod describe;
mod explain;
pub mod failure;
pub mod fwatchdog;
mod image;
mod invoke;
mod list;
mod load;
mod logs;
mod namespace;
mod remove;
mod scale;
mod secret;
mod services;
mod simulate;
mod stack;
mod up;
mod version;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};
use tidegate_core::{Vars, parse_duration};

use crate::doctor;
use crate::output::{Colour, Format, Output};

pub use context::Context;
use failure::{EXIT_CODES, Failure};

const EXAMPLES: &str = "\
Examples:
  tidegate up -f examples/stack.yml        start a gateway with the functions of a stack file
  echo hello | tidegate invoke cat         call a function
  tidegate logs cat --follow               watch what it writes
  tidegate explain sleep                   why it has as many replicas as it has

Environment:
  TIDEGATE_GATEWAY, OPENFAAS_URL           where the gateway is (default http://127.0.0.1:8080)
  TIDEGATE_PASSWORD                        the password of user admin (or TIDEGATE_USER)
  TIDEGATE_STATE_DIR                       where `tidegate up` keeps state and password
  NO_COLOR, CLICOLOR, CLICOLOR_FORCE       no colours, or colours even without a terminal
";

/// Everything that can be said on the command line.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, about = "An open control plane for functions", before_long_help = EXAMPLES, after_long_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every command takes.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Address of the gateway, http://HOST:PORT
    #[arg(short, long, global = true, value_name = "URL")]
    gateway: Option<String>,
    /// Namespace of the function
    #[arg(short, long, global = true)]
    namespace: Option<String>,
    /// How data is printed
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "table|json")]
    #[arg(hide_possible_values = true)]
    output: Format,
    /// Only the data: no notes, no hints
    #[arg(short, long, global = true)]
    quiet: bool,
    /// When colours are used
    #[arg(long, global = true, value_enum, default_value_t, value_name = "auto|always|never")]
    #[arg(hide_possible_values = true)]
    color: Colour,
    /// Longest wait for the gateway's answer (default 60s)
    #[arg(long, global = true, value_parser = duration, value_name = "DURATION")]
    timeout: Option<Duration>,
    /// Reads the gateway's password from stdin
    #[arg(long, global = true)]
    password_stdin: bool,
    /// Where `tidegate up` keeps its state
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts a gateway on this machine, with the functions of a stack file
    Up(up::Args),
    /// Deploys functions from a stack file or from flags
    Deploy(deploy::Args),
    /// Lists functions
    #[command(visible_alias = "ls")]
    List(list::Args),
    /// Shows all about one function
    Describe(describe::Args),
    /// Calls a function with stdin as the body
    Invoke(invoke::Args),
    /// Sends load as hey does, and shows replicas beside latency
    Load(load::Args),
    /// Shows what a function's replicas write
    Logs(logs::Args),
    /// Sets how many replicas a function has
    Scale(scale::Args),
    /// Removes functions
    #[command(visible_aliases = ["rm", "delete"])]
    Remove(remove::Args),
    /// Keeps secrets that functions read as files
    #[command(subcommand, visible_alias = "secrets")]
    Secret(secret::Command),
    /// Shows why a function has as many replicas as it has
    Explain(explain::Args),
    /// Shows what policies make of a load: a trace through the scale decisions in virtual time
    Simulate(simulate::Args),
    /// Brings images to this machine's containerd
    #[command(subcommand, visible_alias = "images")]
    Image(image::Command),
    /// Runs databases and other neighbours of functions from a compose file
    #[command(subcommand, visible_alias = "service")]
    Services(services::Command),
    /// Manages namespaces
    #[command(subcommand, visible_alias = "namespaces")]
    Namespace(namespace::Command),
    /// Checks the gateway and this machine
    Doctor(doctor::Args),
    /// Prints a completion script for a shell
    #[command(visible_alias = "completions")]
    Completion(completion::Args),
    /// Shows the versions of this program and of the gateway
    Version,
    /// Lists the exit codes
    #[command(hide = true, about = EXIT_CODES, help_template = "{about}\n")]
    ExitCodes,
}

/// Reads the command line and does what it says.
pub fn run(args: Vec<OsString>, vars: Vars) -> ExitCode {
    if let Some(wanted) = load::wanted(&args) {
        return load::run(wanted, vars);
    }
    let command = Cli::command().color(colour_of_help(&args));
    let cli = command.try_get_matches_from(&args).and_then(|found| Cli::from_arg_matches(&found));
    let Cli { global, command } = match cli {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let output = Output::new(global.output, global.quiet, global.color, &vars);
    if output.is_html() && !matches!(command, Command::Simulate(_)) {
        let failure = Failure::usage("--output html is for tidegate simulate; use table or json");
        output.failure(&failure);
        return failure.exit.into();
    }
    let context = Context::new(global, vars, output.clone());
    match dispatch(context, command) {
        Ok(code) => code,
        Err(failure) => {
            output.failure(&failure);
            failure.exit.into()
        }
    }
}

fn dispatch(context: Context, command: Command) -> Result<ExitCode, Failure> {
    let done = match command {
        Command::Up(args) => return up::run(context, args),
        // Taken aside before clap read the words.
        Command::Load(_) => return Ok(ExitCode::from(2)),
        Command::Doctor(args) => on_runtime(doctor::run(&context, args)),
        Command::Deploy(args) => on_runtime(deploy::run(&context, args)),
        Command::List(args) => on_runtime(list::run(&context, args)),
        Command::Describe(args) => on_runtime(describe::run(&context, args)),
        Command::Invoke(args) => on_runtime(invoke::run(&context, args)),
        Command::Logs(args) => on_runtime(logs::run(&context, args)),
        Command::Scale(args) => on_runtime(scale::run(&context, args)),
        Command::Remove(args) => on_runtime(remove::run(&context, args)),
        Command::Secret(command) => on_runtime(secret::run(&context, command)),
        Command::Explain(args) => on_runtime(explain::run(&context, args)),
        Command::Image(command) => on_runtime(image::run(&context, command)),
        Command::Services(command) => services::run(&context, command),
        Command::Namespace(command) => on_runtime(namespace::run(&context, command)),
        Command::Simulate(args) => simulate::run(&context, &args),
        Command::Version => on_runtime(version::run(&context)),
        Command::Completion(args) => completion::run(&context, args),
        Command::ExitCodes => context.output.line(EXIT_CODES),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// Runs a command that talks to a gateway; one thread is plenty.
fn on_runtime(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("cannot start the async runtime").because(error))?;
    let done = runtime.block_on(command);
    // A read of stdin that nobody waits for any more must not keep the program alive.
    runtime.shutdown_background();
    done
}

/// clap prints help and errors before flags are known, so its colours go by the raw arguments.
fn colour_of_help(args: &[OsString]) -> ColorChoice {
    let texts: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    let says = |when: &str| {
        texts.contains(&format!("--color={when}").as_str())
            || texts.windows(2).any(|pair| pair == ["--color", when])
    };
    match () {
        () if says("never") => ColorChoice::Never,
        () if says("always") => ColorChoice::Always,
        () => ColorChoice::Auto,
    }
}

/// A duration for clap: Go's syntax or whole seconds.
fn duration(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => parse_duration(text).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        for args in [["tidegate", "-o", "json", "list"], ["tidegate", "list", "-o", "json"]] {
            let cli = Cli::try_parse_from(args).expect("both are good");
            assert_eq!(cli.global.output, Format::Json);
        }
    }
}
