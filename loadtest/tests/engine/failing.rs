//! Servers that are not there, hang, or break off; and runs that are stopped.

use std::time::Duration;

use tidegate_loadtest::ConnectError;
use tokio::time::Instant;

use super::server::{Act, Server, at_once};
use super::*;

/// A port on which nobody listens.
async fn closed_port() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_listens() {
    let address = closed_port().await;
    let error = outcome(&plan(&format!("http://{address}/"), 10, 2)).await.unwrap_err();
    assert_eq!(error, RunError::Connect(ConnectError::Refused(address.clone())));
    assert_eq!(
        error.to_string(),
        format!(
            "connection refused by {address}; check that the server runs and listens on that port"
        )
    );
    // By time, too, it does not go on for long.
    let mut plan = plan(&format!("http://{address}/"), 0, 2);
    plan.calls = None;
    plan.duration = Some(Duration::from_secs(3600));
    assert!(matches!(outcome(&plan).await, Err(RunError::Connect(ConnectError::Refused(_)))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_is_not_there() {
    let server = Server::start(|_, _| at_once()).await;
    let mut plan = plan(&server.url("/"), 20, 2);
    plan.targets.push(target(&format!("http://{}/", closed_port().await)));
    let results = results(&plan).await;
    assert_eq!((results.total.answered, results.total.errors), (10, 10));
    assert!(
        results.targets[1]
            .failures
            .keys()
            .all(|text| text.starts_with("connection refused by 127.0.0.1:"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_hosts_and_bad_addresses() {
    let error = outcome(&plan("http://no-such-host.invalid/", 2, 1)).await.unwrap_err();
    assert!(
        matches!(&error, RunError::Connect(ConnectError::UnknownHost { host, .. }) if host == "no-such-host.invalid"),
        "{error}"
    );
    assert!(error.to_string().starts_with("unknown host \"no-such-host.invalid\""));
    let error = outcome(&plan("ftp://host/", 2, 1)).await.unwrap_err();
    assert_eq!(error, RunError::Url("ftp://host/".to_owned()));
    let nothing = Plan { targets: Vec::new(), ..plan("http://host/", 1, 1) };
    assert_eq!(outcome(&nothing).await.unwrap_err(), RunError::NoTarget);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_never_answers_times_out() {
    let server = Server::start(|n, _| if n % 2 == 0 { Act::Hang } else { at_once() }).await;
    let mut plan = plan(&server.url("/"), 10, 1);
    plan.timeout = Some(Duration::from_millis(100));
    let results = results(&plan).await;
    assert_eq!((results.total.calls, results.total.answered, results.total.errors), (10, 5, 5));
    assert_eq!(
        results.total.failures,
        [("no answer within the timeout of 100ms".to_owned(), 5)].into()
    );
    assert!(results.elapsed >= 0.5);
    // A call that timed out takes its connection along.
    assert_eq!(server.connections(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_break_off() {
    for (bytes, text) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
            "the connection was closed within the answer",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            "the connection was closed within the answer",
        ),
        ("HTTP/1.1 200 OK\r\nCont", "the connection was closed within the answer"),
        ("", "the server closed the connection without an answer"),
        ("nonsense\r\n\r\n", "the answer is not HTTP: invalid HTTP version"),
    ] {
        let server = Server::start(move |_, _| Act::SendAndClose(bytes.into())).await;
        let total = results(&plan(&server.url("/"), 4, 2)).await.total;
        assert_eq!((total.calls, total.answered), (4, 0), "{bytes:?}");
        assert_eq!(total.failures, [(text.to_owned(), 4)].into(), "{bytes:?}");
        assert_eq!(total.uncorrected.count, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_cuts_open_calls_and_keeps_the_rest() {
    for open_loop in [false, true] {
        let server = Server::start(|n, _| if n < 5 { at_once() } else { Act::Hang }).await;
        let mut plan = plan(&server.url("/"), 1000, 2);
        if open_loop {
            plan.pace = Pace::Open("1000/s".parse().unwrap());
        }
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let stop = stop.clone();
            async move { run(&plan, Hooks::default(), stop).await.unwrap() }
        });
        let deadline = Instant::now() + Duration::from_secs(30);
        while server.seen().len() < 7 && Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
        // Nothing ends in this time, but it counts.
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.cancel();
        let results = running.await.unwrap();
        assert!(results.interrupted && results.elapsed >= 0.1, "{}", results.elapsed);
        assert_eq!((results.total.calls, results.total.answered, results.total.errors), (7, 5, 0));
    }
}
