//! After many random steps nothing is left on the machine that does not belong to a replica.
//!
//! `TIDEGATE_TEST_STEPS` sets the number of steps; few of them keep the whole suite short.

#![allow(clippy::disallowed_methods, reason = "the number of steps is asked for from outside")]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/harness.rs"]
mod harness;
#[path = "support/images.rs"]
mod images;
#[path = "support/place.rs"]
mod place;

use std::time::Duration;

use harness::function;
use place::Place;
use tidegate_core::{FunctionId, Replicas};
use tidegate_provider::{Depth, Provider, ScaleTo};

const STEPS: u32 = 60;
const NAMES: [&str; 3] = ["one", "two", "three"];

/// Repeatable numbers. Source: Marsaglia, "Xorshift RNGs", 2003.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_steps_leave_nothing_behind() {
    let Some(mut place) = Place::open().await else { return };
    let steps = std::env::var("TIDEGATE_TEST_STEPS").ok().and_then(|it| it.parse().ok());
    let mut dice = Dice(0x7469_6465_6761_7465);
    for _ in 0..steps.unwrap_or(STEPS) {
        let name = NAMES[usize::try_from(dice.roll(3)).expect("one of three")];
        step(&mut place, &mut dice, name).await;
    }
    for name in NAMES {
        let id = FunctionId::parse(name).expect("a good name");
        // Not all of them are there.
        let _ = place.provider().delete(&id).await;
    }
    let clean = || {
        let spare = place.harness.config.spare_networks;
        let left = left(&place);
        left.len() <= spare
    };
    let settled = tokio::task::block_in_place(|| daemon::within(Duration::from_secs(180), clean));
    assert!(settled, "left behind: {:#?}", left(&place));
    place.provider().release().await;
    assert_eq!(left(&place), Vec::<String>::new());
}

async fn step(place: &mut Place, dice: &mut Dice, name: &str) {
    let id = FunctionId::parse(name).expect("a good name");
    let scale = |count, depth| ScaleTo { depth, ..ScaleTo::replicas(count) };
    let count = u32::try_from(dice.roll(4)).expect("a small number");
    // What is refused, since the function is there or is not, changes nothing.
    match dice.roll(10) {
        0 | 1 => drop(place.provider().deploy(function(name, "serve"), Replicas::new(count)).await),
        2 | 3 => drop(place.provider().scale(&id, scale(count, Depth::Removed)).await),
        4 => {
            let depth = if dice.roll(2) == 0 { Depth::Frozen } else { Depth::Created };
            drop(place.provider().scale(&id, scale(0, depth)).await);
        }
        5 => drop(place.provider().update(function(name, "serve")).await),
        6 => drop(place.provider().delete(&id).await),
        7 => {
            let tasks = place.ctr("openfaas-fn", &["tasks", "list", "-q"]);
            if let Some(task) = tasks.lines().next() {
                place.ctr("openfaas-fn", &["tasks", "kill", "--signal", "SIGKILL", task]);
            }
        }
        8 if dice.roll(4) == 0 => place.crash_and_reopen().await,
        _ => tokio::time::sleep(Duration::from_millis(50 * dice.roll(8))).await,
    }
}

/// All there is of replicas, by name: spare networks are the only ones that may be left.
fn left(place: &Place) -> Vec<String> {
    let lines = |kind: &str, text: String| -> Vec<String> {
        text.lines().map(|line| format!("{kind} {line}")).collect()
    };
    let mut left = lines("container", place.ctr("openfaas-fn", &["containers", "list", "-q"]));
    let tasks = place.ctr("openfaas-fn", &["tasks", "list"]);
    left.extend(lines("task", tasks).into_iter().skip(1));
    left.extend(lines("lease", place.ctr("openfaas-fn", &["leases", "list", "-q"])));
    let snapshots = place.ctr("openfaas-fn", &["snapshots", "list"]);
    let active = snapshots.lines().filter(|line| line.contains("Active"));
    left.extend(active.map(|line| format!("snapshot {line}")));
    let networks = place.run_files("netns");
    // One line for a network with its record, address and port: they come and go together.
    let addresses = place.run_files(&format!("ipam/{}", place.harness.daemon.bridge()));
    let taken = addresses.iter().filter(|file| file.starts_with("10.")).count();
    let ports = std::fs::read_dir(format!("/sys/class/net/{}/brif", place.harness.daemon.bridge()));
    let ports = ports.map_or(0, Iterator::count);
    let records = place.run_files("networks").len();
    if [taken, ports, records].iter().any(|count| *count != networks.len()) {
        left.push(format!(
            "networks {networks:?}, with {taken} addresses, {ports} ports and {records} records"
        ));
        left.push("so they do not fit".to_owned());
    }
    left.extend(networks.into_iter().map(|id| format!("network {id}")));
    left
}
