//! The engine against servers whose behaviour is known: what it counts must be what happened.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests, not what they call"
)]
#![allow(clippy::disallowed_methods, reason = "the engine is tested in real time, with deadlines")]

mod counting;
mod failing;
mod http2;
mod protocol;
mod schedule;
mod server;
mod tls;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_loadtest::plan::{Check, Pace, Plan, Target, Transport};
use tidegate_loadtest::results::Results;
use tidegate_loadtest::{Call, Hooks, RunError, run};
use tokio_util::sync::CancellationToken;

/// A GET of a URL.
fn target(url: &str) -> Target {
    Target {
        name: url.to_owned(),
        weight: 1,
        method: http::Method::GET,
        uri: url.parse().unwrap(),
        headers: http::HeaderMap::new(),
        body: bytes::Bytes::new(),
        check: Check::default(),
    }
}

/// So many calls in a closed loop.
fn plan(url: &str, calls: u64, connections: usize) -> Plan {
    Plan {
        targets: vec![target(url)],
        pace: Pace::Closed { each: None },
        connections,
        calls: Some(calls),
        duration: None,
        timeout: Some(Duration::from_secs(30)),
        threads: 2,
        transport: Transport::default(),
        seed: 1,
    }
}

fn open(url: &str, profile: &str, connections: usize) -> Plan {
    Plan { pace: Pace::Open(profile.parse().unwrap()), calls: None, ..plan(url, 0, connections) }
}

async fn outcome(plan: &Plan) -> Result<Results, RunError> {
    run(plan, Hooks::default(), CancellationToken::new()).await
}

async fn results(plan: &Plan) -> Results {
    outcome(plan).await.unwrap()
}

/// Results and every call.
async fn with_calls(plan: &Plan) -> (Results, Vec<Call>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&calls);
    let on_call = Box::new(move |call: &Call| sink.lock().unwrap().push(call.clone()));
    let hooks = Hooks { on_call: Some(on_call), ..Hooks::default() };
    let results = run(plan, hooks, CancellationToken::new()).await.unwrap();
    let calls = std::mem::take(&mut *calls.lock().unwrap());
    (results, calls)
}

fn percentile(pairs: &[(f64, f64)], percent: f64) -> f64 {
    pairs.iter().find(|(known, _)| *known == percent).unwrap().1
}
