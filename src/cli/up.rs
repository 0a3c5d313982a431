//! `tidegate up`: reads its flags and hands over to the library, which is the whole control plane.
//!
//! Each flag is the variable of the same name (`--idle-after 2m` is `TIDEGATE_IDLE_AFTER=2m`), so that
//! values are read and refused in one place, wherever they come from.

use std::path::PathBuf;
use std::process::ExitCode;

use tidegate::up::Options;

use super::failure::Failure;
use super::stack::Stack;
use super::{Context, compose, deploy};
use crate::allocator;

/// Arguments of `up`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate up                                  with one built-in demo function
  tidegate up -f examples/stack.yml            with the functions of a stack file
  tidegate up --idle-after 1m --dry-run-idle   only report which functions would go to zero

Each option is also a variable (TIDEGATE_IDLE_AFTER) and a key of tidegate.toml (idle_after).")]
pub struct Args {
    /// A stack file whose functions are deployed at the start
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A compose file whose services are brought up and looked after, too
    #[arg(long, value_name = "FILE")]
    services: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Asks for no password: everyone who reaches the port may do everything
    #[arg(long)]
    no_auth: bool,
    /// Only reports which functions are idle, takes none to zero
    #[arg(long)]
    dry_run_idle: bool,
    /// Any other setting of docs/configuration.md, such as lame_duck=0s; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    others: Vec<(&'static str, String)>,
}

/// Flags that are variables; texts, for what is allowed is said where they are read.
#[derive(Debug, clap::Args)]
struct Settings {
    /// What runs replicas: process, containerd, or auto for containerd where it answers [default: process]
    #[arg(long, value_name = "BACKEND")]
    provider: Option<String>,
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<String>,
    /// Port of the API and the functions, 0 for any free one [default: 8080]
    #[arg(short, long, value_name = "PORT")]
    port: Option<String>,
    /// Port of /metrics, 0 for any free one [default: 8082]
    #[arg(long, value_name = "PORT")]
    metrics_port: Option<String>,
    /// Threads that serve connections [default: one for each core]
    #[arg(long, value_name = "NUMBER")]
    threads: Option<String>,
    /// File with the admin password [default: made in the state directory]
    #[arg(long, value_name = "FILE")]
    password_file: Option<String>,
    /// Idle time before zero, for functions that name none [default: 5m]
    #[arg(long, value_name = "DURATION")]
    idle_after: Option<String>,
    /// Time a replica stays frozen at zero [default: 10m]
    #[arg(long, value_name = "DURATION")]
    warm_duration: Option<String>,
    /// Span over which load is averaged for scaling down [default: 30s]
    #[arg(long, value_name = "DURATION")]
    stable_window: Option<String>,
    /// Span over which load is averaged for scaling up [default: 6s]
    #[arg(long, value_name = "DURATION")]
    fast_window: Option<String>,
    /// Longest that a new replica may take to become ready [default: 60s]
    #[arg(long, value_name = "DURATION")]
    start_deadline: Option<String>,
    /// Longest that a function may take to answer [default: 5m]
    #[arg(long, value_name = "DURATION")]
    upstream_timeout: Option<String>,
    /// Longest that a call waits for a replica [default: 60s]
    #[arg(long, value_name = "DURATION")]
    wake_timeout: Option<String>,
    /// Named rules that scale functions by queries of Prometheus
    #[arg(long, value_name = "FILE")]
    rules: Option<String>,
    /// Records counts that the scale loop sees and decides, for tidegate simulate
    #[arg(long, value_name = "FILE")]
    record: Option<String>,
    /// Which log lines are shown, such as info or tidegate=debug [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

/// Runs the control plane until it is told to stop. The stack file is read before anything starts.
pub fn run(context: Context, args: Args) -> Result<ExitCode, Failure> {
    allocator::settle(&context.vars);
    let settings = args.settings();
    let chosen = match &args.file {
        Some(path) => {
            let stack = Stack::read(&context, path)?;
            deploy::tell_warnings(&context, &stack);
            stack.choose(&context, &[])?
        }
        None => Vec::new(),
    };
    let functions = chosen.into_iter().map(|function| function.deployment).collect();
    let services = match &args.services {
        Some(path) => Some(compose::read(&context, Some(path))?),
        None => None,
    };
    Ok(tidegate::up::run(Options { functions, services, settings }, context.vars))
}

impl Args {
    /// What was said, by the name of its variable.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let said = self.settings.variables();
        let said = said.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
        let mut settings: Vec<_> = said.collect();
        if self.no_auth {
            settings.push(("TIDEGATE_AUTH", "false".to_owned()));
        }
        if self.dry_run_idle {
            settings.push(("TIDEGATE_DRY_RUN_IDLE", "true".to_owned()));
        }
        settings.extend(self.others.iter().cloned());
        settings
    }
}

/// `KEY=VALUE` for clap; the key is a variable's name without `TIDEGATE_`, as in `tidegate.toml`.
fn setting(text: &str) -> Result<(&'static str, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    let name = format!("TIDEGATE_{}", key.to_ascii_uppercase().replace('-', "_"));
    match tidegate::config::KNOWN.iter().find(|known| **known == name) {
        Some(known) => Ok((known, value.to_owned())),
        None => Err(format!("there is no setting {key:?}; see docs/configuration.md")),
    }
}

impl Settings {
    fn variables(&self) -> [(&'static str, &Option<String>); 17] {
        [
            ("TIDEGATE_PROVIDER", &self.provider),
            ("TIDEGATE_BIND", &self.bind),
            ("TIDEGATE_PORT", &self.port),
            ("TIDEGATE_METRICS_PORT", &self.metrics_port),
            ("TIDEGATE_THREADS", &self.threads),
            ("TIDEGATE_PASSWORD_FILE", &self.password_file),
            ("TIDEGATE_IDLE_AFTER", &self.idle_after),
            ("TIDEGATE_WARM_DURATION", &self.warm_duration),
            ("TIDEGATE_STABLE_WINDOW", &self.stable_window),
            ("TIDEGATE_FAST_WINDOW", &self.fast_window),
            ("TIDEGATE_START_DEADLINE", &self.start_deadline),
            ("TIDEGATE_UPSTREAM_TIMEOUT", &self.upstream_timeout),
            ("TIDEGATE_WAKE_TIMEOUT", &self.wake_timeout),
            ("TIDEGATE_RULES", &self.rules),
            ("TIDEGATE_RECORD", &self.record),
            ("TIDEGATE_LOG", &self.log),
            ("TIDEGATE_LOG_FORMAT", &self.log_format),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Up {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_flag_is_the_variable_of_its_name() {
        let words = ["up", "--port", "0", "--no-auth", "--idle-after", "2m", "--dry-run-idle"];
        let settings = Up::try_parse_from(words).expect("good flags").args.settings();
        let wanted = [
            ("TIDEGATE_PORT", "0"),
            ("TIDEGATE_IDLE_AFTER", "2m"),
            ("TIDEGATE_AUTH", "false"),
            ("TIDEGATE_DRY_RUN_IDLE", "true"),
        ];
        assert_eq!(settings, wanted.map(|(name, text)| (name, text.to_owned())));
    }

    #[test]
    fn every_flag_is_a_setting() {
        let up = Up::try_parse_from(["up"]).expect("no flag is needed");
        for (name, _) in up.args.settings.variables() {
            assert!(tidegate::config::KNOWN.contains(&name), "{name} is read by nobody");
        }
    }

    #[test]
    fn any_setting_can_be_set_and_no_other() {
        let words = ["up", "--set", "idle-after=2m", "--set", "TIDE=1"];
        assert!(Up::try_parse_from(words).is_err());
        let up = Up::try_parse_from(&words[..3]).expect("a known key");
        assert_eq!(up.args.settings(), [("TIDEGATE_IDLE_AFTER", "2m".to_owned())]);
    }
}
