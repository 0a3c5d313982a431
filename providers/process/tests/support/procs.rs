//! Processes as the tests see them: from outside, by `/proc`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::time::{sleep, timeout};

/// A process that belongs to a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proc {
    pub pid: i32,
    pub replica: String,
    /// As `/proc/PID/stat` says: `T` is stopped.
    pub state: char,
}

/// All processes of replicas whose sockets are in `state_dir`.
pub fn all(state_dir: &Path) -> Vec<Proc> {
    let identity = fs::read_to_string(state_dir.join("identity.json")).expect("an identity");
    let identity: serde_json::Value = serde_json::from_str(&identity).expect("JSON");
    let state = identity["state"].as_str().expect("a name").to_owned();
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let environ = fs::read(entry.path().join("environ")).ok()?;
            let environ = String::from_utf8_lossy(&environ).into_owned();
            let replica =
                environ.split('\0').find_map(|it| it.strip_prefix("TIDEGATE_REPLICA="))?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let state_letter = stat.rsplit_once(") ")?.1.chars().next()?;
            replica.contains(&format!("-{state}-")).then(|| Proc {
                pid,
                replica: replica.to_owned(),
                state: state_letter,
            })
        })
        .collect()
}

/// Waits for a condition.
pub async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("no {what} in time"))
}
