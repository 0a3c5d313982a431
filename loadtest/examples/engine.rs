//! The engine alone, for measuring: `engine URL CONNECTIONS SECONDS THREADS [PROFILE]`, results as JSON.

use std::time::Duration;

use tidegate_loadtest::plan::{Check, Pace, Plan, Target, Transport};
use tidegate_loadtest::profile::Profile;
use tidegate_loadtest::{Hooks, run_blocking};
use tokio_util::sync::CancellationToken;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, connections, seconds, threads, rest @ ..] = args.as_slice() else {
        return Err("usage: engine URL CONNECTIONS SECONDS THREADS [PROFILE]".into());
    };
    let pace = match rest.first() {
        Some(profile) => Pace::Open(Profile::parse(profile)?),
        None => Pace::Closed { each: None },
    };
    let target = Target {
        name: url.clone(),
        weight: 1,
        method: http::Method::GET,
        uri: url.parse()?,
        headers: http::HeaderMap::new(),
        body: bytes::Bytes::new(),
        check: Check::default(),
    };
    let plan = Plan {
        targets: vec![target],
        pace,
        connections: connections.parse()?,
        calls: None,
        duration: Some(Duration::from_secs(seconds.parse()?)),
        timeout: Some(Duration::from_secs(20)),
        threads: threads.parse()?,
        transport: Transport {
            http2: rest.get(1).is_some_and(|word| word == "http2"),
            ..Transport::default()
        },
        seed: 1,
    };
    let results = run_blocking(&plan, Hooks::default(), CancellationToken::new())?;
    println!("{}", serde_json::to_string_pretty(&results)?);
    Ok(())
}
