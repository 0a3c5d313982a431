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

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use harness::function;
use place::Place;
use tidegate_core::{FunctionId, Replicas};
use tidegate_provider::{Deployment, Depth, Provider, ScaleTo, Secret, SecretName};

const STEPS: u32 = 60;
const NAMES: [&str; 3] = ["one", "two", "three"];
const SECRET: &str = "hush";

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
    // With rules of the firewall, too, which name addresses that only this test has.
    let Some(mut place) = Place::with(|config| config.firewall = Some(true)).await else { return };
    let secret = SecretName::new(SECRET, "openfaas-fn").expect("a good name");
    let secret = Secret { name: secret, value: b"hush".to_vec() };
    place.provider().create_secret(secret).await.expect("a new secret");
    let mut ports = BTreeSet::new();
    let steps = std::env::var("TIDEGATE_TEST_STEPS").ok().and_then(|it| it.parse().ok());
    let mut dice = Dice(0x7469_6465_6761_7465);
    for _ in 0..steps.unwrap_or(STEPS) {
        let name = NAMES[usize::try_from(dice.roll(3)).expect("one of three")];
        step(&mut place, &mut dice, name).await;
        ports.extend(daemon::names(&ports_of(&place)));
    }
    for name in NAMES {
        let id = FunctionId::parse(name).expect("a good name");
        // Not all of them are there.
        let _ = place.provider().delete(&id).await;
    }
    let clean = || {
        let left = left(&place, &ports);
        let count = |kind: &str| left.iter().filter(|it| it.starts_with(kind)).count();
        let (networks, leases) = (count("network "), count("lease "));
        // Networks wait for the next replicas, and a lease for what they are made under.
        networks <= place.harness.config.kept_networks
            && leases <= 1
            && networks + leases == left.len()
    };
    let settled = tokio::task::block_in_place(|| daemon::within(Duration::from_secs(180), clean));
    if !settled {
        let left = left(&place, &ports);
        let log = place.harness.daemon.log();
        // Ids of ours are words of what is left, and of what containerd wrote about it.
        let words = left.iter().flat_map(|line| line.split([' ', '/', '.']));
        let ids: BTreeSet<&str> = words.filter(|word| word.starts_with("tg-")).collect();
        let told = log.lines().filter(|line| ids.iter().any(|id| line.contains(id)));
        told.for_each(|line| eprintln!("about it: {line}"));
        panic!("left behind: {left:#?}");
    }
    place.provider().release().await;
    assert_eq!(left(&place, &ports), Vec::<String>::new());
}

async fn step(place: &mut Place, dice: &mut Dice, name: &str) {
    let id = FunctionId::parse(name).expect("a good name");
    let scale = |count, depth| ScaleTo { depth, ..ScaleTo::replicas(count) };
    let count = u32::try_from(dice.roll(4)).expect("a small number");
    // What is refused, since the function is there or is not, changes nothing.
    match dice.roll(10) {
        0 | 1 => drop(place.provider().deploy(with_secret(name), Replicas::new(count)).await),
        2 | 3 => drop(place.provider().scale(&id, scale(count, Depth::Removed)).await),
        4 => {
            let depth = if dice.roll(2) == 0 { Depth::Frozen } else { Depth::Created };
            drop(place.provider().scale(&id, scale(0, depth)).await);
        }
        5 => drop(place.provider().update(with_secret(name)).await),
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

fn with_secret(name: &str) -> Deployment {
    let mut deployment = function(name, "serve");
    deployment.secrets.push(SECRET.to_owned());
    deployment
}

/// All there is of replicas, by name. `ports` are all that were ever seen on the bridge.
fn left(place: &Place, ports: &BTreeSet<String>) -> Vec<String> {
    let daemon = &place.harness.daemon;
    let lines = |kind: &str, text: String| -> Vec<String> {
        text.lines().map(|line| format!("{kind} {line}")).collect()
    };
    let mut left = lines("container", place.ctr("openfaas-fn", &["containers", "list", "-q"]));
    let tasks = place.ctr("openfaas-fn", &["tasks", "list"]);
    left.extend(lines("task", tasks).into_iter().skip(1));
    left.extend(lines("lease", place.ctr("openfaas-fn", &["leases", "list", "-q"])));
    let writes = place.ctr("openfaas-fn", &["content", "active"]);
    left.extend(lines("write", writes).into_iter().skip(1));
    let snapshots = place.ctr("openfaas-fn", &["snapshots", "list"]);
    let active = snapshots.lines().filter(|line| line.contains("Active"));
    left.extend(active.map(|line| format!("snapshot {line}")));
    left.extend(daemon.helpers().into_iter().map(|line| format!("process {line}")));
    left.extend(place.processes().into_iter().map(|pid| format!("process {pid} of a container")));
    for namespace in daemon.cgroups() {
        let groups = daemon::folders(&namespace);
        left.extend(groups.iter().map(|group| format!("control group {}", group.display())));
    }
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("Linux");
    let roots = daemon.path("st").display().to_string();
    left.extend(lines("mount", mounts).into_iter().filter(|line| line.contains(&roots)));
    let runc = format!("/run/containerd/runc/{}openfaas-fn", daemon.prefix());
    left.extend(daemon::names(&runc.into()).iter().map(|id| format!("runc's state of {id}")));
    left.extend(place.run_files("secrets/openfaas-fn").iter().map(|it| format!("secrets of {it}")));
    let logs = place.log_files();
    left.extend(logs.iter().map(|(file, _)| format!("log {}", file.display())));
    left.extend(networks(place, ports));
    left
}

/// One line for a network with its record, address, port and rules: they come and go together.
fn networks(place: &Place, ports: &BTreeSet<String>) -> Vec<String> {
    let networks = place.run_files("netns");
    let addresses = place.run_files(&format!("ipam/{}", place.harness.daemon.bridge()));
    let taken = addresses.iter().filter(|file| file.starts_with("10.")).count();
    let attached = daemon::names(&ports_of(place));
    let records = place.run_files("networks").len();
    let mut left = Vec::new();
    if [taken, attached.len(), records].iter().any(|count| *count != networks.len()) {
        left.push(format!(
            "{networks:?} with {taken} addresses, {attached:?} and {records} records"
        ));
    }
    // A port that has left the bridge may still be on the machine.
    let machine = daemon::names(&PathBuf::from("/sys/class/net"));
    let stray = ports.iter().filter(|port| machine.contains(port) && !attached.contains(port));
    left.extend(stray.map(|port| format!("port {port}")));
    let rules = Command::new("iptables-save").output().expect("iptables is installed");
    let rules = String::from_utf8_lossy(&rules.stdout).into_owned();
    let subnet = place.harness.config.subnet.to_string();
    let range = subnet.trim_end_matches("0/24");
    let of_others = |line: &str| addresses.iter().any(|it| line.contains(&format!("{it}/")));
    let ours = rules.lines().filter(|line| line.contains(range) && !of_others(line));
    left.extend(ours.map(|line| format!("rule {line}")));
    left.extend(networks.into_iter().map(|id| format!("network {id}")));
    left
}

fn ports_of(place: &Place) -> PathBuf {
    PathBuf::from("/sys/class/net").join(place.harness.daemon.bridge()).join("brif")
}
