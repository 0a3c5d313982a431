//! A load step seen from outside: `tidegate load` beside a real gateway that scales, and its page in a
//! real browser.
#![allow(clippy::disallowed_methods, reason = "stories run in real time, with deadlines")]

mod support;

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use support::{Start, Tidegate, examples, have};
use tokio::process::Command;

/// Windows short enough for a test; the arithmetic is the same.
fn start() -> Tidegate {
    Start::new()
        .stack(examples().join("stack.yml"))
        .var("TIDEGATE_STABLE_WINDOW", "6s")
        .var("TIDEGATE_FAST_WINDOW", "2s")
        .start()
}

/// 100 calls a second of 300 ms are 30 in flight: 6 replicas at 5 each. The quiet tail lets them go.
const PROFILE: &str = "steps:0/s@2s,100/s@8s,0/s@16s";

async fn load(tidegate: &Tidegate, words: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .arg("load")
        .args(words)
        .env("TIDEGATE_PASSWORD", &tidegate.password)
        .output()
        .await
        .expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Runs the browser without a screen; gives what it prints.
async fn browser(profile: &Path, words: &[&str], page: &Path) -> String {
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(words)
        .arg(format!("file://{}", page.display()))
        .output()
        .await
        .expect("chromium runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn kinds(events: &Value) -> Vec<&str> {
    events.as_array().expect("a list").iter().filter_map(|event| event["kind"].as_str()).collect()
}

/// Both in this order.
fn one_before_the_other(kinds: &[&str], one: &str, other: &str) {
    let place = |kind: &str| kinds.iter().position(|found| *found == kind);
    assert!(place(one).is_some() && place(one) < place(other), "{one} before {other}: {kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_step_its_replicas_and_its_page() {
    if !have("chromium", "story_load") {
        return;
    }
    let tidegate = start();
    tidegate
        .wait_for_counts("sleep", "being ready", Duration::from_secs(20), |_, ready| ready >= 1)
        .await;
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("out.html");
    let url = format!("{}/function/sleep", tidegate.url);
    let words = [
        "--profile",
        PROFILE,
        "-H",
        "X-Sleep: 300ms",
        "--gateway",
        &tidegate.url,
        "--expect",
        "replicas>=4,errors<0.1%",
        "--report",
        report.to_str().expect("a path"),
        "-o",
        "json",
        &url,
    ];
    let (code, out, err) = load(&tidegate, &words).await;
    assert_eq!(code, Some(0), "{err}\n{out}");
    let results: Value = serde_json::from_str(&out).expect("stdout is JSON");
    assert_eq!(results["total"]["calls"], 800, "{err}");
    let overlay = &results["overlays"][0];
    assert_eq!(overlay["function"], "sleep.openfaas-fn");
    let found = kinds(&overlay["events"]);
    one_before_the_other(&found, "load_step", "decision");
    one_before_the_other(&found, "decision", "first_ready");
    one_before_the_other(&found, "first_ready", "target_reached");
    one_before_the_other(&found, "target_reached", "back_to_minimum");
    for line in ["replicas>=4", "errors<0.1%"] {
        let all = results["expectations"].as_array().expect("a list");
        assert!(all.iter().any(|one| one["text"] == line && one["met"] == true), "{all:?}");
    }
    let lines = err.lines().filter(|line| line.contains("sleep.openfaas-fn: ")).count();
    assert!(lines >= 20, "a line a second, also while only replicas are watched: {err}");
    page_is_drawn(&report, folder.path()).await;
}

/// What the browser makes of the page, not what we wrote.
async fn page_is_drawn(report: &Path, folder: &Path) {
    let profile = folder.join("browser");
    let dom = browser(&profile, &["--dump-dom"], report).await;
    for id in ["rate", "latency", "replicas", "errors"] {
        let begin = dom
            .find(&format!("<figure id=\"{id}\""))
            .unwrap_or_else(|| panic!("no chart {id} in: {dom}"));
        let figure = dom[begin..].split("</figure>").next().expect("a part");
        let paths: Vec<&str> =
            figure.split(" d=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(paths.len() >= 2, "{id}: {paths:?}");
        assert!(
            paths
                .iter()
                .all(|path| path.starts_with('M') && path.len() > 8 && !path.contains("NaN")),
            "{id}: {paths:?}"
        );
    }
    // For whoever wants to look; nothing compares pictures here.
    let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join("story_load.png");
    let _ = std::fs::remove_file(&picture);
    let shot = format!("--screenshot={}", picture.display());
    browser(&profile, &[&shot, "--window-size=1200,2300"], report).await;
    let bytes = std::fs::read(&picture).expect("a screenshot was taken");
    assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 50_000, "{} bytes", bytes.len());
}
