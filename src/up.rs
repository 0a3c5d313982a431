//! `tidegate up`: one process with gateway, loops and the backend that runs replicas.
//!
//! Reads the settings, takes the state directory, starts, deploys the stack file if there is one (or a
//! demo function when nothing is deployed at all), says where everything is, and ends on a signal.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use thiserror::Error;
use tidegate_api::FunctionDeployment;
use tidegate_core::{Service, Vars};
use tidegate_gateway::auth::Credentials;
use tidegate_provider_containerd::Services;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use crate::causes::chain;
use crate::config::{BadConfig, Config};
use crate::password::{self, Password};
use crate::rules::{BadRules, Rules};
use crate::tasks::Tasks;
use crate::{App, AppError};
use provider::Opened;

mod banner;
pub mod provider;
mod seed;

/// The hidden command that the demo function runs.
pub const DEMO_WORD: &str = "demo-function";

/// What the command line says; all else comes from variables.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The functions to deploy at the start, read and checked already.
    pub functions: Vec<FunctionDeployment>,
    /// The services to look after, in the order of who waits for whom; none leaves services alone.
    pub services: Option<Vec<Service>>,
    /// Settings given as flags, by the name of their variable; they win over the environment.
    pub settings: Vec<(&'static str, String)>,
}

/// Why `up` could not start, or not go on.
#[derive(Debug, Error)]
enum UpError {
    #[error(transparent)]
    Config(#[from] BadConfig),
    #[error("cannot use the state directory {path}: {source}; choose another with --state-dir")]
    State { path: PathBuf, source: io::Error },
    #[error("cannot read the password file {path}: {source}")]
    Password { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Provider(#[from] provider::CannotOpen),
    #[error("services cannot be brought up: {}", chain(&**.0))]
    Services(Box<dyn std::error::Error>),
    #[error(transparent)]
    Rules(#[from] BadRules),
    #[error(transparent)]
    App(#[from] AppError),
    #[error("cannot start: {0}")]
    Runtime(#[from] io::Error),
}

impl UpError {
    /// As documented in `tidegate help exit-codes`.
    fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Rules(_) => 2,
            _ => 1,
        }
    }
}

/// Runs `tidegate up` to its end.
pub fn run(options: Options, vars: Vars) -> ExitCode {
    match try_run(options, vars) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn try_run(options: Options, vars: Vars) -> Result<(), UpError> {
    let config = read_config(&options, vars)?;
    start_logging(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config, options.functions, options.services))
}

fn read_config(options: &Options, mut vars: Vars) -> Result<Config, UpError> {
    for (name, text) in &options.settings {
        vars.set(*name, text.clone());
    }
    Ok(Config::read(vars)?)
}

/// Sends what happens to stderr, as the settings say.
pub fn start_logging(config: &Config) {
    let filter = EnvFilter::try_new(&config.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(false);
    // A second start in one process keeps the first one's logging.
    let _ = if config.log_json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(io::stderr().is_terminal()).try_init()
    };
}

async fn serve(
    config: Config,
    functions: Vec<FunctionDeployment>,
    services: Option<Vec<Service>>,
) -> Result<(), UpError> {
    let state = |source| UpError::State { path: config.state_dir.clone(), source };
    make_private(&config.state_dir).map_err(state)?;
    let rules = read_rules(&config).await?;
    let password = read_password(&config)?;
    let workers = Tasks::new();
    let opened = provider::open(&config, &workers).await?;
    let services = match services {
        Some(wanted) => Some(bring_up(&config, wanted).await?),
        None => None,
    };
    let Opened { provider, runs_programs, door } = opened;
    let credentials = password
        .as_ref()
        .map(|password| Credentials { user: "admin".to_owned(), password: password.text.clone() });
    let mut app = App::build_with_rules(config.clone(), provider.clone(), credentials, rules);
    app.serve_functions_at(door);
    let bound = app.bind().await?;
    let banner = banner::Banner {
        api: bound.api_address,
        metrics: bound.metrics_address,
        password: password.clone(),
        state_dir: config.state_dir.clone(),
    };
    let stop = CancellationToken::new();
    let tasks = Tasks::new();
    tasks.spawn("signals", end_on_signal(stop.clone()));
    let seeding = seed::Seeding {
        api: bound.api_address,
        password: password.map(|password| password.text),
        functions,
        demo: runs_programs.then(demo_command),
    };
    tasks.spawn_until_stopped("seed", async move {
        banner.print_addresses();
        let (seeded, more) = seeding.deploy(&*provider).await;
        banner.print_functions(&seeded, more);
    });
    bound.run(stop).await;
    if let Some(services) = services {
        services.close().await;
    }
    workers.stop().cancel();
    tasks.stop().cancel();
    Ok(())
}

/// Services outlive this process, as functions do.
async fn bring_up(config: &Config, wanted: Vec<Service>) -> Result<Arc<Services>, UpError> {
    let services = Services::open(provider::services_config(config)).await;
    let services = services.map_err(|error| UpError::Services(Box::new(error)))?;
    if let Err(error) = services.up(wanted).await {
        services.close().await;
        return Err(UpError::Services(Box::new(error)));
    }
    Ok(services)
}

async fn read_rules(config: &Config) -> Result<Rules, BadRules> {
    let Some(path) = &config.rules else { return Ok(Rules::default()) };
    let rules = Rules::read(path)?;
    rules.check_queries().await?;
    Ok(rules)
}

fn read_password(config: &Config) -> Result<Option<Password>, UpError> {
    if !config.auth {
        warn!("no password is asked for: whoever reaches {} may deploy functions", config.bind);
        return Ok(None);
    }
    let path =
        config.password_file.clone().unwrap_or_else(|| config.state_dir.join(password::FILE));
    password::read_or_make(&path).map(Some).map_err(|source| UpError::Password { path, source })
}

/// The built-in demo function is this program itself, so that it needs nothing else.
fn demo_command() -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("tidegate"));
    format!("{} {DEMO_WORD}", program.display())
}

fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// The first signal drains, the second one ends at once.
async fn end_on_signal(stop: CancellationToken) {
    let (Ok(mut term), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        warn!("signals cannot be caught; end tidegate with SIGKILL");
        return;
    };
    let mut next = async || {
        tokio::select! {
            _ = term.recv() => 143,
            _ = interrupt.recv() => 130,
        }
    };
    next().await;
    info!("stopping: open calls may finish; a second signal ends at once");
    let _ = io::stderr().flush();
    stop.cancel();
    let code = next().await;
    std::process::exit(code);
}
