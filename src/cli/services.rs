//! `tidegate services`: runs the neighbours of functions that a compose file tells of, on this machine's
//! containerd.
//!
//! One process looks after them (`services up`, or `up --services`); the other commands ask that by its socket,
//! or look for themselves when there is none.

use std::collections::HashMap;
use std::path::PathBuf;

use clap::Subcommand;
use futures_util::StreamExt;
use jiff::Timestamp;
use tidegate::config::Config;
use tidegate::up::provider::{install_tls, services_config};
use tidegate_api::{LogMessage, rfc3339};
use tidegate_core::Service;
use tidegate_provider::LogLine;
use tidegate_provider_containerd::{
    Asked, Config as ContainerdConfig, LogWish, OpenError, ServiceState, ServiceStatus, Services,
    ask_services, look_at_services, service_logs,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;

use super::failure::{Exit, Failure, chain};
use super::logs::{Since, now, short};
use super::{Context, compose, on_runtime};
use crate::output::Align::{Left, Right};
use crate::output::{Output, Paint};

/// What can be done with services.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Makes the services of a compose file the ones that run, and looks after them
    #[command(after_help = "Examples:
  sudo tidegate services up                        with the compose file of this folder
  sudo tidegate services up -f docker-compose.yaml

Ctrl-C leaves services to run, and the next `up` takes them over; `tidegate services down` ends them.
A second `up` hands its file to the process that looks after them already.")]
    Up {
        /// The compose file [default: compose.yaml or docker-compose.yaml of this folder]
        #[arg(short, long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Lists services
    #[command(visible_aliases = ["ps", "ls"])]
    List,
    /// Shows what a service writes
    Logs(LogsArgs),
    /// Ends a service and starts it again
    Restart {
        /// Which service
        name: String,
    },
    /// Ends all services and removes their containers; volumes stay
    Down,
}

/// Arguments of `services logs`.
#[derive(Debug, clap::Args)]
pub struct LogsArgs {
    /// Which service
    name: String,
    /// Goes on with lines to come
    #[arg(short, long)]
    follow: bool,
    /// Only lines since then: a duration such as 10m, or a time such as 2026-11-21T10:00:00Z
    #[arg(long, value_name = "WHEN")]
    since: Option<Since>,
    /// At most this many of the newest lines
    #[arg(long, visible_alias = "lines", value_name = "N")]
    tail: Option<usize>,
    /// Only the text, without the time
    #[arg(long)]
    plain: bool,
}

/// Does it.
pub fn run(context: &Context, command: Command) -> Result<(), Failure> {
    let config = Config::read(context.vars.clone()).map_err(Failure::usage)?;
    let containerd = services_config(&config);
    match command {
        Command::Up { file } => {
            let services = compose::read(context, file.as_deref())?;
            tidegate::up::start_logging(&config);
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(up(context, containerd, services))
        }
        Command::List => on_runtime(list(context, &containerd)),
        Command::Logs(args) => on_runtime(logs(context, &containerd, args)),
        Command::Restart { name } => on_runtime(restart(context, &containerd, name)),
        Command::Down => on_runtime(down(context, containerd)),
    }
}

async fn up(
    context: &Context,
    config: ContainerdConfig,
    wanted: Vec<Service>,
) -> Result<(), Failure> {
    install_tls();
    match Services::open(config.clone()).await {
        Ok(services) => look_after(context, &services, wanted).await,
        Err(OpenError::InUse { holder, .. }) => hand_over(context, &config, wanted, &holder).await,
        Err(error) => Err(cannot_open(error)),
    }
}

fn cannot_open(error: OpenError) -> Failure {
    Failure::failed("cannot look after services")
        .because(chain(&error))
        .help("see what is missing: tidegate doctor --pre --provider containerd")
}

/// Until told to stop, or to take all down.
async fn look_after(
    context: &Context,
    services: &Services,
    wanted: Vec<Service>,
) -> Result<(), Failure> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut events = services.events();
    let mut told = Told { logged: true, ..Told::default() };
    let printing = async {
        loop {
            match events.recv().await {
                Ok(status) => told.event(&context.output, &status),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    };
    let running = async {
        services
            .up(wanted)
            .await
            .map_err(|error| Failure::failed("services are left as they were").because(&error))?;
        services.settled().await;
        if context.output.is_json() {
            context.output.json(&services.list())?;
        }
        context.output.next("tidegate services list");
        services.told_down().await;
        context.output.note("all services have ended, as was asked for");
        Ok(())
    };
    let done: Result<bool, Failure> = tokio::select! {
        biased;
        _ = terminate.recv() => Ok(true),
        _ = interrupt.recv() => Ok(true),
        // What happened is told before what came of it.
        () = printing => Ok(true),
        done = running => done.map(|()| false),
    };
    let runs = services.list().iter().any(|one| one.state == ServiceState::Running);
    services.close().await;
    if done? && runs {
        context.output.note("services go on without this process, but nobody starts them again or opens their ports");
        context.output.next("tidegate services down");
    }
    Ok(())
}

/// Gives the file to who looks after services already.
async fn hand_over(
    context: &Context,
    config: &ContainerdConfig,
    wanted: Vec<Service>,
    holder: &str,
) -> Result<(), Failure> {
    let all = ask(context, config, &Asked::Up(wanted)).await?.ok_or_else(|| {
        Failure::failed(format!("process {holder} looks after services, but does not listen"))
            .help("try again, or end that process")
    })?;
    context.output.note(&format!("process {holder} looks after them"));
    finish(context, &all)
}

async fn ask(
    context: &Context,
    config: &ContainerdConfig,
    asked: &Asked,
) -> Result<Option<Vec<ServiceStatus>>, Failure> {
    let told = std::cell::RefCell::new(Told::default());
    let heard = |status: &ServiceStatus| told.borrow_mut().event(&context.output, status);
    ask_services(config, asked, heard)
        .await
        .map_err(|error| Failure::failed("it could not be done").because(&error))
}

/// Says what came of a change; that not all is well is a failure.
fn finish(context: &Context, all: &[ServiceStatus]) -> Result<(), Failure> {
    if context.output.is_json() {
        context.output.json(&all)?;
    }
    let bad: Vec<&str> = all
        .iter()
        .filter(|one| one.state == ServiceState::Restarting || one.failed())
        .map(|one| one.name.as_str())
        .collect();
    if bad.is_empty() {
        context.output.next("tidegate services list");
        return Ok(());
    }
    Err(Failure::failed(format!("not well: {}", bad.join(", ")))
        .help(format!("see what it wrote: tidegate services logs {}", bad[0])))
}

async fn list(context: &Context, config: &ContainerdConfig) -> Result<(), Failure> {
    let watched = ask(context, config, &Asked::List).await?;
    let is_watched = watched.is_some();
    let all = match watched {
        Some(all) => all,
        None => look(config).await?,
    };
    if context.output.is_json() {
        return context.output.json(&all);
    }
    if context.output.is_quiet() {
        return all.iter().try_for_each(|one| context.output.line(&one.name));
    }
    let columns = [
        ("SERVICE", Left),
        ("STATE", Left),
        ("ADDRESS", Left),
        ("PORTS", Left),
        ("RESTARTS", Right),
        ("IMAGE", Left),
        ("DETAIL", Left),
    ];
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    context.output.table(&columns, &rows)?;
    if !is_watched {
        context.output.next("tidegate services up -f docker-compose.yaml");
    }
    Ok(())
}

async fn look(config: &ContainerdConfig) -> Result<Vec<ServiceStatus>, Failure> {
    let looked = look_at_services(config).await;
    looked.map_err(|error| Failure::failed("cannot list services").because(&error))
}

fn row(one: &ServiceStatus) -> Vec<String> {
    let state = match one.healthy {
        Some(true) => format!("{} (healthy)", one.state),
        Some(false) => format!("{} (unhealthy)", one.state),
        None => one.state.to_string(),
    };
    vec![
        one.name.clone(),
        state,
        one.address.map_or_else(|| "-".to_owned(), |address| address.to_string()),
        if one.ports.is_empty() { "-".to_owned() } else { one.ports.join(" ") },
        one.restarts.to_string(),
        one.image.clone(),
        one.detail.clone(),
    ]
}

async fn restart(
    context: &Context,
    config: &ContainerdConfig,
    name: String,
) -> Result<(), Failure> {
    match ask(context, config, &Asked::Restart(name.clone())).await? {
        // How the others are is not what was asked.
        Some(mut all) => {
            all.retain(|one| one.name == name);
            finish(context, &all)
        }
        None => Err(Failure::failed("nobody looks after services")
            .help("start what does not run: tidegate services up -f docker-compose.yaml")),
    }
}

async fn down(context: &Context, config: ContainerdConfig) -> Result<(), Failure> {
    let before = look(&config).await?;
    if ask(context, &config, &Asked::Down).await?.is_none() {
        let services = Services::open(config).await.map_err(cannot_open)?;
        let ended = services.up(Vec::new()).await;
        services.close().await;
        ended.map_err(|error| Failure::failed("not all services have ended").because(&error))?;
    }
    if context.output.is_json() {
        let names: Vec<&str> = before.iter().map(|one| one.name.as_str()).collect();
        return context.output.json(&serde_json::json!({ "removed": names }));
    }
    for one in &before {
        context.output.done("Removed", &one.name);
    }
    if before.is_empty() {
        context.output.note("there were no services");
    }
    Ok(())
}

async fn logs(context: &Context, config: &ContainerdConfig, args: LogsArgs) -> Result<(), Failure> {
    let LogsArgs { name, follow, since, tail, plain } = args;
    let since = since.map(|since| since.time(now()).into());
    let wish = LogWish { instance: None, since, tail, follow };
    let mut lines = service_logs(config, &name, wish).map_err(|error| {
        Failure::new(Exit::NotFound, error.to_string())
            .help("see what there is: tidegate services list")
    })?;
    while let Some(line) = lines.next().await {
        let line =
            line.map_err(|error| Failure::failed("the log cannot be read").because(&error))?;
        print(&context.output, line, plain)?;
    }
    Ok(())
}

fn print(output: &Output, line: LogLine, plain: bool) -> Result<(), Failure> {
    let at = Timestamp::try_from(line.at).unwrap_or(Timestamp::UNIX_EPOCH);
    if output.is_json() {
        let message = LogMessage {
            name: line.function.name().to_owned(),
            namespace: line.function.namespace().to_owned(),
            instance: line.instance.to_string(),
            timestamp: rfc3339(line.at),
            text: line.text,
        };
        let text = serde_json::to_string(&message)
            .map_err(|error| Failure::failed("cannot print a line as JSON").because(&error))?;
        return output.line(&text);
    }
    if plain || output.is_quiet() {
        return output.line(&line.text);
    }
    let head = output.paint(Paint::Dim, &short(&at.to_string()));
    output.line(&format!("{head}  {}", line.text))
}

/// What was told of each service last, so that nothing is told twice.
#[derive(Default)]
struct Told {
    last: HashMap<String, (ServiceState, Option<bool>)>,
    /// Whether this process logs how services end.
    logged: bool,
}

impl Told {
    /// Tells of what changed.
    fn event(&mut self, output: &Output, status: &ServiceStatus) {
        let now = (status.state, status.healthy);
        let before = self.last.insert(status.name.clone(), now);
        let address = status.address.map(|address| format!(" at {address}")).unwrap_or_default();
        let name = format!("{}{address}", status.name);
        match (before.map(|(state, _)| state), status.state) {
            (before, ServiceState::Running) if before != Some(ServiceState::Running) => {
                match before {
                    Some(ServiceState::Starting) => output.done("Started", &name),
                    // One that was taken over; to others it is no news.
                    _ if self.logged => output.done("Running", &name),
                    _ => {}
                }
            }
            (_, ServiceState::Waiting) if !status.detail.is_empty() => {
                output.note(&format!("{:>12} {} {}", "Waiting", status.name, status.detail));
            }
            (before, ServiceState::Exited)
                if before != Some(ServiceState::Exited) && !self.logged =>
            {
                output.done("Ended", &format!("{} {}", status.name, status.detail));
            }
            (before, ServiceState::Restarting)
                if before != Some(ServiceState::Restarting) && !self.logged =>
            {
                output.done("Restarting", &format!("{} {}", status.name, status.detail));
            }
            _ => {}
        }
        if status.healthy == Some(true) && before.and_then(|(_, healthy)| healthy) != Some(true) {
            output.done("Healthy", &status.name);
        }
    }
}
