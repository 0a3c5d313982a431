//! The open loop: nothing is sent less in silence, and waiting counts from when a call was due.

use std::time::Duration;

use tidegate_loadtest::plan::Due;
use tokio::time::Instant;

use super::server::{Act, Server, at_once, ok};
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_what_is_due() {
    let server = Server::start(|_, _| at_once()).await;
    let (results, calls) = with_calls(&open(&server.url("/"), "steps:100/s@1s,300/s@1s", 50)).await;
    let schedule = results.schedule.unwrap();
    assert!(results.open_loop);
    assert_eq!(
        (schedule.due, schedule.sent, results.total.calls, results.total.answered),
        (400, 400, 400, 400)
    );
    assert_eq!(results.seconds.iter().map(|second| second.due).collect::<Vec<_>>(), [100, 300]);
    assert_eq!(results.seconds.iter().map(|second| second.sent).collect::<Vec<_>>(), [100, 300]);
    assert_eq!(schedule.error.count, 400);
    assert!(calls.iter().all(|call| call.sent >= call.due), "none goes out early");
    assert_eq!(results.pace, "steps:100/s@1s,300/s@1s");
    // Two seconds, though the last call was due a little before their end.
    assert!(results.elapsed >= 2.0, "{}", results.elapsed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stall_shows_in_corrected_latency() {
    // From 1 s to 3 s after the first request the server answers nobody.
    let first = std::sync::OnceLock::<Instant>::new();
    let server = Server::start(move |_, _| {
        let begin = *first.get_or_init(Instant::now);
        let now = Instant::now();
        let stall = begin + Duration::from_secs(1)..begin + Duration::from_secs(3);
        if stall.contains(&now) { Act::SendAt(stall.end, ok("ok")) } else { at_once() }
    })
    .await;
    let (results, calls) = with_calls(&open(&server.url("/"), "100/s@5s", 4)).await;
    let schedule = results.schedule.unwrap();
    assert_eq!((schedule.due, schedule.sent, results.total.answered), (500, 500, 500));
    let long = |from: fn(&Call) -> Duration| {
        calls.iter().filter(|call| call.done - from(call) > Duration::from_millis(500)).count()
    };
    // Four connections were stuck; the calls due meanwhile waited for them: 150 of 200 for over half a second.
    let (uncorrected, corrected) = (long(|call| call.sent), long(|call| call.due));
    assert!((1..=8).contains(&uncorrected), "{uncorrected}");
    assert!(corrected >= 140, "{corrected}");
    assert!(schedule.waited >= 140, "{}", schedule.waited);
    assert!(percentile(&results.total.corrected.percentiles, 90.0) >= 1.4);
    assert!(results.total.corrected.max >= 1.9);
    assert!(percentile(&results.total.uncorrected.percentiles, 90.0) < 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_sent_is_counted() {
    let server = Server::start(|_, _| Act::Send(Duration::from_millis(100), ok("ok"))).await;
    let results = results(&open(&server.url("/"), "100/s@1s", 2)).await;
    let schedule = results.schedule.unwrap();
    assert_eq!(schedule.due, 100);
    // Two connections, each ten calls a second at most.
    assert!(schedule.sent <= 22, "{}", schedule.sent);
    assert_eq!(schedule.sent, results.total.calls);
    assert_eq!(results.total.answered, results.total.calls);
    assert!(schedule.waited > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_of_calls_is_sent_to_the_last() {
    let server = Server::start(|_, _| Act::Send(Duration::from_millis(20), ok("ok"))).await;
    let results = results(&Plan { calls: Some(50), ..open(&server.url("/"), "1000/s", 2) }).await;
    let schedule = results.schedule.unwrap();
    assert_eq!((schedule.due, schedule.sent, results.total.answered), (50, 50, 50));
    assert!(results.total.corrected.max > results.total.uncorrected.min);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_tail_is_part_of_the_run() {
    let server = Server::start(|_, _| at_once()).await;
    let begin = Instant::now();
    let results = results(&open(&server.url("/"), "steps:50/s@1s,0/s@1s", 4)).await;
    assert!(begin.elapsed() >= Duration::from_millis(1990));
    assert_eq!(results.seconds.iter().map(|second| second.due).sum::<u64>(), 50);
    assert!(results.seconds.len() >= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_is_replayed() {
    let server = Server::start(|_, _| at_once()).await;
    let due = |at: u64, target: u32, takes: Option<u64>, body: Option<u64>| Due {
        at: Duration::from_millis(at),
        target,
        takes: takes.map(Duration::from_millis),
        body,
    };
    let recording =
        [due(0, 0, None, None), due(10, 1, Some(250), None), due(200, 0, None, Some(5))];
    let mut plan = plan(&server.url("/a"), 0, 4);
    plan.calls = None;
    plan.targets.push(target(&server.url("/b")));
    plan.pace = Pace::Replay(recording.into());
    let results = results(&plan).await;
    assert_eq!(results.targets.iter().map(|target| target.answered).collect::<Vec<_>>(), [2, 1]);
    assert!(results.elapsed >= 0.199);
    let seen = server.seen();
    let find = |what: &str| seen.iter().find(|request| request.contains(what)).unwrap();
    assert!(find("X-Sleep: 250ms\r\n").starts_with("GET /b "));
    assert!(find("Content-Length: 5\r\n").ends_with("\r\n\r\nxxxxx"));
    assert_eq!(seen.len(), 3);
}
