//! Counts, percentiles, seconds and checks.

use std::time::Duration;

use super::server::{Act, Server, answer, at_once, ok};
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn percentiles_are_those_of_the_calls() {
    // Latencies over three orders of magnitude.
    let server =
        Server::start(|n, _| Act::Send(Duration::from_micros(n % 40 * n % 40 * 100), ok("body")))
            .await;
    let (results, calls) = with_calls(&plan(&server.url("/"), 1000, 10)).await;
    let total = &results.total;
    assert_eq!((total.calls, total.answered, total.errors, total.bytes), (1000, 1000, 0, 4000));
    assert_eq!(calls.len(), 1000);
    assert!(!results.open_loop && results.schedule.is_none() && !results.interrupted);
    let mut truth: Vec<f64> =
        calls.iter().map(|call| (call.done - call.sent).as_secs_f64()).collect();
    truth.sort_by(f64::total_cmp);
    for (percent, seconds) in &total.uncorrected.percentiles {
        let rank = (percent / 100.0 * 1000.0_f64).ceil() as usize;
        let exact = truth[rank - 1];
        assert!((seconds - exact).abs() <= exact * 0.0011, "{percent}%: {seconds} for {exact}");
    }
    assert!((total.uncorrected.min - truth[0]).abs() < 1e-9);
    assert!((total.uncorrected.max - truth[999]).abs() < 1e-9);
    assert!((total.uncorrected.mean - truth.iter().sum::<f64>() / 1000.0).abs() < 1e-9);
    let rows = &total.uncorrected.histogram;
    assert_eq!((rows.len(), rows.iter().map(|row| row.1).sum::<u64>()), (11, 1000));
    assert!((rows[0].0 - truth[0]).abs() < 1e-9 && (rows[10].0 - truth[999]).abs() < 1e-9);
    assert_eq!(results.seconds.iter().map(|second| second.answered).sum::<u64>(), 1000);
    assert_eq!(results.seconds.iter().map(|second| second.sent).sum::<u64>(), 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fixed_delay_is_measured() {
    let server = Server::start(|_, _| Act::Send(Duration::from_millis(50), ok("ok"))).await;
    let (results, calls) = with_calls(&plan(&server.url("/"), 40, 4)).await;
    assert!(percentile(&results.total.uncorrected.percentiles, 50.0) >= 0.0499);
    assert!(results.total.uncorrected.min >= 0.0499);
    assert!(
        results.elapsed >= 0.499,
        "ten calls one after another on each connection: {}",
        results.elapsed
    );
    assert_eq!(server.connections(), 4);
    let wait = results.total.phases.iter().find(|phase| phase.name == "resp wait").unwrap();
    assert!(wait.min >= 0.0495 && wait.mean <= results.total.uncorrected.mean);
    // Connections are dialed once each.
    assert_eq!(calls.iter().filter(|call| !call.dial.is_zero()).count(), 4);
    let phases = |call: &Call| call.dial + call.write + call.wait + call.read;
    assert!(
        calls.iter().all(|call| phases(call) <= call.done - call.sent + Duration::from_nanos(1))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fifth_fails() {
    let act = |n: u64, _: &str| match n % 5 {
        4 => Act::Send(Duration::ZERO, answer("500 Internal Server Error", "", "no")),
        _ => at_once(),
    };
    let server = Server::start(act).await;
    let mut plan = plan(&server.url("/"), 100, 5);
    let lenient = results(&plan).await.total;
    assert_eq!((lenient.answered, lenient.errors), (100, 0), "hey's rule: every answer is right");
    assert_eq!(lenient.statuses, [(200, 80), (500, 20)].into());
    plan.targets[0].check.statuses = vec![200, 204];
    let (strict, calls) = with_calls(&plan).await;
    assert_eq!((strict.total.answered, strict.total.errors), (100, 20));
    assert_eq!(strict.total.failures, [("status 500, expected 200 or 204".to_owned(), 20)].into());
    assert_eq!(calls.iter().filter(|call| call.end.is_err()).count(), 20);
    assert_eq!(calls.iter().filter(|call| call.end == Ok(200)).count(), 80);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_searched_also_across_pieces() {
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nxnee\r\n1\r\nd\r\n4\r\nle y\r\n0\r\n\r\n";
    let act = |n: u64, _: &str| match n % 2 {
        0 => Act::Send(Duration::ZERO, chunked.to_vec()),
        _ => Act::Send(Duration::ZERO, ok("nothing here")),
    };
    let server = Server::start(act).await;
    let mut plan = plan(&server.url("/"), 10, 1);
    plan.targets[0].check.body_contains = Some("needle".to_owned());
    let total = results(&plan).await.total;
    assert_eq!((total.answered, total.errors), (10, 5));
    assert_eq!(total.failures, [("the body does not contain \"needle\"".to_owned(), 5)].into());
    assert!(!server.seen()[0].contains("gzip"), "a packed body could not be searched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_get_their_weights() {
    let server = Server::start(|_, _| at_once()).await;
    let mut plan = plan(&server.url("/a"), 400, 4);
    plan.targets[0].weight = 30;
    plan.targets.push(Target { weight: 10, ..target(&server.url("/b")) });
    let results = results(&plan).await;
    assert_eq!(results.targets.iter().map(|target| target.calls).collect::<Vec<_>>(), [300, 100]);
    assert_eq!(results.targets[1].name, server.url("/b"));
    assert_eq!(results.total.calls, 400);
    let seen = server.seen();
    assert_eq!(seen.iter().filter(|request| request.starts_with("GET /b ")).count(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seconds_are_told_while_it_runs() {
    let server = Server::start(|_, _| Act::Send(Duration::from_millis(5), ok("ok"))).await;
    let mut plan = plan(&server.url("/"), 0, 2);
    plan.calls = None;
    plan.duration = Some(Duration::from_millis(2500));
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    let on_second = Box::new(
        move |second: &tidegate_loadtest::results::Second,
              all: &tidegate_loadtest::results::Tally| {
            sink.lock().unwrap().push((second.at, second.answered, all.answered));
        },
    );
    let hooks = Hooks { on_second: Some(on_second), ..Hooks::default() };
    let results = run(&plan, hooks, CancellationToken::new()).await.unwrap();
    let told = told.lock().unwrap();
    assert!(told.len() >= 3, "{told:?}");
    let mut sum = 0;
    for (index, (at, answered, all)) in told.iter().enumerate() {
        sum += answered;
        assert_eq!((*at as usize, *all), (index, sum));
    }
    assert_eq!(sum, results.total.answered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_keeps_its_own_rate() {
    let server = Server::start(|_, _| at_once()).await;
    let mut plan = plan(&server.url("/"), 0, 2);
    plan.calls = None;
    plan.pace = Pace::Closed { each: Some(50.0) };
    plan.duration = Some(Duration::from_secs(1));
    let calls = results(&plan).await.total.calls;
    // Two workers with 50 turns each; a machine that is late may lose some, none may be won.
    assert!((20..=100).contains(&calls), "{calls}");
}
