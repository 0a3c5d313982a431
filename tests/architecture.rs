//! Holds the arrows of `docs/architecture.md`: who may depend on whom, and what deciding crates may list.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Which of our crates each crate may depend on.
const ARROWS: [(&str, &[&str]); 13] = [
    ("tidegate-core", &[]),
    ("tidegate-idler", &["tidegate-core"]),
    ("tidegate-autoscaler", &["tidegate-core", "tidegate-idler"]),
    ("tidegate-api", &["tidegate-core"]),
    ("tidegate-provider", &["tidegate-core"]),
    ("tidegate-watchdog", &["tidegate-core"]),
    ("tidegate-provider-machine", &["tidegate-core", "tidegate-provider"]),
    (
        "tidegate-provider-process",
        &["tidegate-core", "tidegate-provider", "tidegate-provider-machine", "tidegate-watchdog"],
    ),
    (
        "tidegate-provider-containerd",
        &["tidegate-core", "tidegate-provider", "tidegate-provider-machine"],
    ),
    ("tidegate-gateway", &["tidegate-core", "tidegate-api", "tidegate-provider"]),
    ("tidegate-loadtest", &["tidegate-core"]),
    ("tidegate-simulator", &["tidegate-core", "tidegate-idler", "tidegate-autoscaler"]),
    (
        "tidegate",
        &[
            "tidegate-core",
            "tidegate-api",
            "tidegate-autoscaler",
            "tidegate-gateway",
            "tidegate-idler",
            "tidegate-loadtest",
            "tidegate-provider",
            "tidegate-provider-containerd",
            "tidegate-provider-process",
            "tidegate-simulator",
            "tidegate-watchdog",
        ],
    ),
];

/// All that crates which decide may list.
const DECIDING: [&str; 4] =
    ["tidegate-core", "tidegate-idler", "tidegate-autoscaler", "tidegate-simulator"];
const DECIDING_MAY_LIST: [&str; 3] = ["serde", "serde_json", "thiserror"];

struct Crate {
    normal: BTreeSet<String>,
    optional: BTreeSet<String>,
}

fn crates() -> BTreeMap<String, Crate> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo is there, it built this test");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("packages are a list");
    packages.iter().map(read).collect()
}

fn read(package: &Value) -> (String, Crate) {
    let mut found = Crate { normal: BTreeSet::new(), optional: BTreeSet::new() };
    for dependency in package["dependencies"].as_array().expect("dependencies are a list") {
        // Development dependencies may point anywhere: tests see more than the house does.
        if dependency["kind"].is_null() {
            let name = dependency["name"].as_str().expect("a name").to_owned();
            let optional = dependency["optional"].as_bool().unwrap_or(false);
            if optional {
                found.optional.insert(name)
            } else {
                found.normal.insert(name)
            };
        }
    }
    (package["name"].as_str().expect("a name").to_owned(), found)
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let arrows: BTreeMap<_, _> = ARROWS.into_iter().collect();
    for (name, found) in crates() {
        let allowed = arrows.get(name.as_str()).unwrap_or_else(|| {
            panic!("{name} has no arrows: add it here and to docs/architecture.md")
        });
        for dependency in found.normal.iter().filter(|name| name.starts_with("tidegate")) {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{name} may not depend on {dependency}"
            );
        }
    }
}

#[test]
fn deciding_crates_list_nothing_that_acts() {
    for (name, found) in crates().into_iter().filter(|(name, _)| DECIDING.contains(&name.as_str()))
    {
        for dependency in found.normal.iter().filter(|name| !name.starts_with("tidegate")) {
            assert!(
                DECIDING_MAY_LIST.contains(&dependency.as_str()),
                "{name} decides and may not list {dependency}"
            );
        }
        assert!(found.optional.is_empty(), "{name} decides and has no optional parts");
    }
}

#[test]
fn tokio_enters_the_provider_interface_only_for_tests() {
    let crates = crates();
    let interface = &crates["tidegate-provider"];
    assert!(!interface.normal.contains("tokio"));
    assert!(interface.optional.contains("tokio"));
}
