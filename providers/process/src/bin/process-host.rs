//! A control plane of nothing but this backend, so that this crate's tests have one to kill.
//!
//! `process-host STATE_DIR WATCHDOG [FUNCTION]`: opens the state directory, waits until every function has its
//! replicas, freezes FUNCTION, says `ready`, and stays.

use std::process::ExitCode;
use std::sync::Arc;

use tidegate_core::{FunctionId, Replicas};
use tidegate_provider::{Depth, FunctionStatus, Phase, Provider, ProviderError, ScaleTo};
use tidegate_provider_process::{Config, ProcessProvider};
use tokio::time::{Duration, sleep};
use tokio_util::task::TaskTracker;

#[tokio::main]
async fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let (Some(state_dir), Some(watchdog)) = (words.next(), words.next()) else {
        eprintln!("usage: process-host STATE_DIR WATCHDOG [FUNCTION]");
        return ExitCode::from(64);
    };
    let mut config = Config::new(state_dir);
    config.watchdog = vec![watchdog];
    let provider = match ProcessProvider::open(config, TaskTracker::new()).await {
        Ok(provider) => provider,
        Err(failure) => {
            eprintln!("{failure}");
            return ExitCode::FAILURE;
        }
    };
    let function = words.next().and_then(|name| FunctionId::parse(&name.to_string_lossy()).ok());
    if let Err(failure) = prepare(&provider, function).await {
        eprintln!("{failure}");
        return ExitCode::FAILURE;
    }
    println!("ready");
    std::future::pending::<()>().await;
    ExitCode::SUCCESS
}

async fn prepare(
    provider: &Arc<ProcessProvider>,
    freeze: Option<FunctionId>,
) -> Result<(), ProviderError> {
    until(provider, |status| status.ready() == status.desired).await?;
    let Some(function) = freeze else { return Ok(()) };
    let zero = ScaleTo { replicas: Replicas::ZERO, victims: Vec::new(), depth: Depth::Frozen };
    provider.scale(&function, zero).await?;
    let frozen =
        |status: &FunctionStatus| status.replicas.iter().all(|it| it.phase == Phase::Frozen);
    until(provider, |status| *status.function() != function || frozen(status)).await
}

async fn until(
    provider: &Arc<ProcessProvider>,
    fits: impl Fn(&FunctionStatus) -> bool,
) -> Result<(), ProviderError> {
    while !provider.list(None).await?.iter().all(&fits) {
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
