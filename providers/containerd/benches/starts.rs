//! How long calls wait for a replica that is frozen, created, or was removed, and how long twenty replicas take.
//!
//! `cargo bench -p tidegate-provider-containerd --bench starts`, as root, on a quiet machine; a containerd of its
//! own is started. From the wish for a count to the first answer, by the provider alone: the gateway adds its own.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "../tests/support/daemon.rs"]
mod daemon;
#[path = "../tests/support/harness.rs"]
mod harness;
#[path = "../tests/support/images.rs"]
mod images;
#[path = "../tests/support/place.rs"]
mod place;

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use harness::function;
use place::Place;
use tidegate_core::FunctionId;
use tidegate_provider::conformance::http::call;
use tidegate_provider::{Change, Phase, Provider, Replica, ScaleTo, Watch};

const FROZEN_ROUNDS: usize = 100;
const COLD_ROUNDS: usize = 40;
const WAVE: u32 = 20;
const WAVES: usize = 5;

/// An answer by busybox's own server: the shell of the tests' usual handler takes longer than a thaw.
const SERVER: &str = "mkdir -p /tmp/w; echo ok >/tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w";

#[tokio::main]
async fn main() {
    let Some(place) = Place::with(|config| config.spare_networks = 2).await else { return };
    let name = place.deployed(function("bench", SERVER), 1).await;
    frozen(&place, &name).await;
    created(&place, &name).await;
    cold(&place, &name, "removed, networks ahead of need").await;
    wave(&place, &name).await;
    drop(place);

    let Some(place) = Place::with(|config| config.spare_networks = 0).await else { return };
    let name = place.deployed(function("bench", SERVER), 1).await;
    cold(&place, &name, "removed, no network ahead of need").await;
}

async fn frozen(place: &Place, name: &FunctionId) {
    let mut times = Vec::new();
    for _ in 0..FROZEN_ROUNDS {
        place.freeze(name).await;
        let mut watch = place.provider().watch();
        let begun = Instant::now();
        place.provider().scale(name, ScaleTo::replicas(1)).await.expect("deployed");
        times.push(answered(&mut watch, begun).await);
    }
    tell("frozen -> first answer", times);
}

async fn created(place: &Place, name: &FunctionId) {
    let mut times = Vec::new();
    for _ in 0..COLD_ROUNDS {
        place.create(name).await;
        let mut watch = place.provider().watch();
        let begun = Instant::now();
        place.provider().scale(name, ScaleTo::replicas(1)).await.expect("deployed");
        times.push(answered(&mut watch, begun).await);
    }
    tell("created, not started -> first answer", times);
}

async fn cold(place: &Place, name: &FunctionId, what: &str) {
    let mut times = Vec::new();
    for _ in 0..COLD_ROUNDS {
        place.scale(name, 0).await;
        place.ready(name, 0).await;
        // A spare network is made meanwhile.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut watch = place.provider().watch();
        let begun = Instant::now();
        place.provider().scale(name, ScaleTo::replicas(1)).await.expect("deployed");
        times.push(answered(&mut watch, begun).await);
    }
    tell(&format!("{what} -> first answer"), times);
}

async fn wave(place: &Place, name: &FunctionId) {
    let mut times = Vec::new();
    for _ in 0..WAVES {
        place.scale(name, 1).await;
        place.ready(name, 1).await;
        let begun = Instant::now();
        place.scale(name, WAVE).await;
        place.ready(name, WAVE).await;
        times.push(begun.elapsed());
    }
    tell(&format!("1 -> {WAVE} ready"), times);
}

/// Waits, as the gateway does, until a replica is ready, and calls it.
async fn answered(watch: &mut Watch, begun: Instant) -> Duration {
    loop {
        let change = watch.next().await.expect("a watch goes on");
        let Change::Function(status) = change else { continue };
        let ready = |it: &&Replica| it.phase == Phase::Ready;
        if let Some(replica) = status.replicas.iter().find(ready) {
            call(replica, b"").await.expect("a ready replica answers");
            return begun.elapsed();
        }
    }
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part).round() as usize];
    println!(
        "{what}: p50 {:.2?}, p90 {:.2?}, p99 {:.2?}, of {}",
        at(0.5),
        at(0.9),
        at(0.99),
        times.len()
    );
}
