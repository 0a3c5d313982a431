//! Against hitting somebody else's machine by mistake, and against more connections than can be.
//!
//! More than 1,000 calls a second go to another machine only with `--yes`. An open loop or a paced closed
//! loop that asks for more is refused. How fast a plain closed loop will be nobody knows beforehand: it is
//! held at 1,000 a second, and that is said.

use rustix::process::{Resource, getrlimit};

use crate::args::BadArgs;
use crate::plan::{Due, Pace, Plan};

/// Calls a second that may go to another machine without `--yes`.
const MOST: f64 = 1000.0;
/// Descriptors that are needed beside connections.
const OTHER_FILES: u64 = 64;

/// The most connections that this process may open.
pub(super) fn connections_at_most() -> usize {
    let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    usize::try_from(limit.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX).max(1)
}

/// Refuses or slows down what is too much for another machine; gives the sentence to say.
pub(super) fn guard(plan: &mut Plan, yes: bool) -> Result<Option<String>, BadArgs> {
    let Some(host) = elsewhere(plan).filter(|_| !yes) else { return Ok(None) };
    let refused = |rate: f64| {
        Err(BadArgs(format!(
            "up to {rate:.0} calls a second to {host}, which is not this machine: add --yes if it may take more than {MOST:.0}"
        )))
    };
    let workers = plan.connections.max(1) as f64;
    match &mut plan.pace {
        Pace::Open(profile) if profile.highest() > MOST => refused(profile.highest()),
        Pace::Replay(recording) if busiest_second(recording) > MOST => {
            refused(busiest_second(recording))
        }
        Pace::Closed { each: Some(each) } if *each * workers > MOST => refused(*each * workers),
        Pace::Closed { each }
            if each.is_none() && plan.calls.is_none_or(|calls| calls as f64 > MOST) =>
        {
            *each = Some(MOST / workers);
            Ok(Some(format!(
                "held at {MOST:.0} calls a second: {host} is not this machine; --yes lifts it, -q sets another pace"
            )))
        }
        _ => Ok(None),
    }
}

/// The first host that is not surely this machine.
fn elsewhere(plan: &Plan) -> Option<String> {
    if plan.transport.connect_to.is_some_and(|address| address.ip().is_loopback()) {
        return None;
    }
    let mut hosts = plan.targets.iter().filter_map(|target| target.uri.host());
    hosts.find(|host| !is_local(host)).map(str::to_owned)
}

/// By name or number only: what a name leads to is not looked up.
fn is_local(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let address = bare.parse::<std::net::IpAddr>();
    bare == "localhost"
        || bare.ends_with(".localhost")
        || address.is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

/// The most calls that are due within any second.
fn busiest_second(recording: &[Due]) -> f64 {
    let second = std::time::Duration::from_secs(1);
    let mut first = 0;
    let mut most = 0;
    for (last, due) in recording.iter().enumerate() {
        while recording[first].at + second <= due.at {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn this_machine_is_known_by_name_and_number() {
        for host in
            ["localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "[::1]", "a.localhost", "0.0.0.0"]
        {
            assert!(is_local(host), "{host}");
        }
        for host in ["example.test", "10.0.0.1", "localhost.example", "[fe80::1]", "128.0.0.1"] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn the_busiest_second_is_found_wherever_it_begins() {
        let due =
            |millis| Due { at: Duration::from_millis(millis), target: 0, takes: None, body: None };
        // 900 ms to 1,899 ms holds four.
        let recording = [0, 900, 1_000, 1_500, 1_899, 1_900].map(due);
        assert_eq!(busiest_second(&recording), 4.0);
        assert_eq!(busiest_second(&[]), 0.0);
    }
}
