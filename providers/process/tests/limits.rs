//! Limits of memory and CPU: by cgroup where this machine lets us, by rlimit elsewhere.

#[path = "support/harness.rs"]
#[expect(dead_code, reason = "shared with the conformance suite")]
mod harness;
#[path = "support/place.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod place;
#[path = "support/procs.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod procs;

use std::fs;

use harness::shell;
use place::Place;
use tidegate_provider::{Deployment, Provider, Resources};

/// Fills memory on each call until it is stopped.
const HOG: &str = "cat >/dev/null; exec python3 -c \"x = bytearray(400 << 20); print(len(x))\"";

fn limited(mut deployment: Deployment) -> Deployment {
    deployment.limits =
        Some(Resources { memory: Some("96Mi".to_owned()), cpu: Some("250m".to_owned()) });
    deployment
}

/// What a file of any of the replica's control groups says.
fn cgroup_file(pid: i32, controller: &str, file: &str) -> Option<String> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        if controllers.split(',').any(|it| it == controller) {
            return fs::read_to_string(format!("/sys/fs/cgroup/{controller}{path}/{file}")).ok();
        }
        if controllers.is_empty() && path.contains("tidegate") {
            return fs::read_to_string(format!("/sys/fs/cgroup{path}/{file}")).ok();
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn cgroups_hold_whole_replicas_and_tell_of_kills() {
    let place = Place::open().await;
    if !place.provider.limits_hold() {
        eprintln!("SKIPPED: no writable cgroups on this machine (needs root)");
        return;
    }
    let function = place.deployed(limited(shell("hog", "classic", HOG)), 1).await;
    let status = place.provider.get(&function).await.expect("deployed");
    assert_eq!(status.replicas[0].detail, "");
    let pid = procs::all(place.path())[0].pid;
    let memory = cgroup_file(pid, "memory", "memory.limit_in_bytes")
        .or_else(|| cgroup_file(pid, "memory", "memory.max"));
    assert_eq!(memory.expect("a limit").trim(), (96_u64 << 20).to_string());
    let cpu =
        cgroup_file(pid, "cpu", "cpu.cfs_quota_us").or_else(|| cgroup_file(pid, "cpu", "cpu.max"));
    assert!(cpu.expect("a limit").starts_with("25000"));

    assert_ne!(place.call(&function, "").await.status, 200);
    place.detail(&function, "out of memory").await;
    place.detail(&function, "96Mi").await;
    place.provider.release().await;
    let state: serde_json::Value =
        serde_json::from_slice(&fs::read(place.path().join("identity.json")).expect("there"))
            .expect("JSON");
    let state = state["state"].as_str().expect("a name");
    for base in ["memory/tidegate", "cpu/tidegate", "tidegate"] {
        assert!(
            !fs::exists(format!("/sys/fs/cgroup/{base}/{state}")).expect("readable"),
            "{base} is left"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_cgroups_memory_is_limited_by_process_and_cpu_is_told_not_to_be() {
    let place = Place::with(|config| config.cgroups = false).await;
    let function = place.deployed(limited(shell("hog", "classic", HOG)), 1).await;
    assert!(!place.provider.limits_hold());
    let status = place.provider.get(&function).await.expect("deployed");
    assert!(status.replicas[0].detail.contains("cpu limit is not applied"), "{status:?}");
    let pid = procs::all(place.path())[0].pid;
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
    let data = limits.lines().find(|line| line.starts_with("Max data size")).expect("a limit");
    assert!(data.contains(&(96_u64 << 20).to_string()), "{data}");
    // Python meets the limit and says so.
    assert_ne!(place.call(&function, "").await.status, 200);
    place.provider.release().await;
}
