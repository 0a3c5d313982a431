//! Events of known samples, and a gateway of known answers.

use super::*;
use crate::results::EventKind::{
    self, BackToMinimum, Decision, FirstReady, LoadStep as Step, TargetReached, ToZero,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

fn watched(min: u32, samples: &[(f64, u32, u32)], decisions: &[(f64, u32, u32)]) -> Watched {
    let sample = |&(at, desired, ready): &(f64, u32, u32)| Sample {
        at,
        desired,
        ready,
        ..Sample::default()
    };
    let decided =
        |&(at, from, to): &(f64, u32, u32)| Decided { at, from, to, why: "load".to_owned() };
    Watched {
        min,
        samples: samples.iter().map(sample).collect(),
        decisions: decisions.iter().map(decided).collect(),
        ..Watched::default()
    }
}

fn step(at: f64, up: bool) -> LoadStep {
    LoadStep { at, text: "step".to_owned(), up }
}

fn kinds(watched: &Watched, steps: &[LoadStep]) -> Vec<(f64, EventKind)> {
    events::events(watched, steps).into_iter().map(|event| (event.at, event.kind)).collect()
}

#[test]
fn a_load_step_is_followed_to_its_target_and_back() {
    let seen = watched(
        1,
        &[
            (0.0, 1, 1),
            (9.8, 1, 1),
            (10.2, 4, 1),
            (10.4, 4, 2),
            (10.6, 4, 4),
            (11.0, 8, 4),
            (12.0, 8, 8),
            (40.0, 8, 8),
            (52.0, 1, 8),
            (53.0, 1, 1),
        ],
        &[(10.1, 1, 4), (10.9, 4, 8), (51.9, 8, 1)],
    );
    let found = kinds(&seen, &[step(10.0, true), step(40.0, false)]);
    let expected = [
        (10.0, Step),
        (10.1, Decision),
        (10.4, FirstReady),
        (10.6, TargetReached),
        (10.9, Decision),
        (12.0, TargetReached),
        (40.0, Step),
        (51.9, Decision),
        (53.0, BackToMinimum),
    ];
    assert_eq!(found, expected);
}

#[test]
fn events_tell_the_time_since_their_step() {
    let seen = watched(1, &[(0.0, 1, 1), (10.5, 2, 1), (11.0, 2, 2)], &[(10.25, 1, 2)]);
    let events = events::events(&seen, &[step(10.0, true)]);
    let after: Vec<_> = events.iter().map(|event| (event.kind, event.after_step)).collect();
    assert_eq!(
        after,
        [
            (Step, Some(0.0)),
            (Decision, Some(0.25)),
            (FirstReady, Some(1.0)),
            (TargetReached, Some(1.0))
        ]
    );
    assert_eq!(events[1].text, "1 → 2: load");
    assert_eq!(events[2].text, "2 replicas ready, 1 before");
}

#[test]
fn a_wake_from_zero_and_the_way_back_are_seen() {
    let seen = watched(
        0,
        &[(0.0, 0, 0), (1.2, 1, 0), (1.4, 1, 1), (9.0, 0, 1), (9.2, 0, 0), (9.4, 0, 0)],
        &[],
    );
    assert_eq!(
        kinds(&seen, &[step(1.0, true)]),
        [(1.0, Step), (1.4, FirstReady), (1.4, TargetReached), (9.2, ToZero)]
    );
}

#[test]
fn a_jump_between_two_looks_counts() {
    let seen = watched(1, &[(0.0, 1, 1), (1.0, 5, 5)], &[]);
    assert_eq!(
        kinds(&seen, &[step(0.5, true)]),
        [(0.5, Step), (1.0, FirstReady), (1.0, TargetReached)]
    );
}

#[test]
fn a_decision_told_twice_is_one() {
    let mut seen = Watched::default();
    let told = |ago: f64| {
        let body = format!(
            r#"{{"desired":4,"ready":1,"min":1,"in_flight":20,"waiting":3,"decisions":[{{"by":"autoscaler","from":1,"to":4,"seconds_ago":{ago},"why":"20 calls"}},{{"by":"operator","from":4,"to":1,"seconds_ago":99,"why":"asked"}}]}}"#
        );
        Seen::from_scaling(body.as_bytes()).expect("good JSON")
    };
    seen.note(2.0, told(0.5));
    seen.note(2.2, told(0.71));
    assert_eq!(seen.decisions, [Decided { at: 1.5, from: 1, to: 4, why: "20 calls".to_owned() }]);
    assert_eq!(
        (seen.samples[1].in_flight, seen.samples[1].waiting, seen.samples[1].ready),
        (Some(20.0), Some(3.0), 1)
    );
}

#[test]
fn another_openfaas_gateway_gives_counts_without_reasons() {
    let body = |replicas: u32| {
        format!(
            r#"{{"name":"cat","replicas":{replicas},"availableReplicas":1,"labels":{{"com.openfaas.scale.min":"2"}}}}"#
        )
    };
    let mut seen = Watched::default();
    seen.note(1.0, Seen::from_function(body(2).as_bytes()).expect("good JSON"));
    seen.note(2.0, Seen::from_function(body(5).as_bytes()).expect("good JSON"));
    assert_eq!((seen.min, seen.samples[1].desired), (2, 5));
    assert_eq!((seen.decisions[0].from, seen.decisions[0].to, seen.decisions[0].at), (2, 5, 2.0));
    assert!(Seen::from_function(br#"{"name":"x","labels":null}"#).is_ok());
    assert!(Seen::from_scaling(b"<html>").is_err() && Seen::from_function(b"7").is_err());
}

#[test]
fn memory_stays_bounded() {
    let mut seen = Watched::default();
    for at in 0..(MOST_SAMPLES * 3) {
        seen.note(at as f64, Seen { tells_decisions: true, ..Seen::default() });
    }
    assert!(seen.samples.len() <= MOST_SAMPLES);
    assert!(seen.samples.windows(2).all(|pair| pair[0].at < pair[1].at));
}

/// Answers each request by its path and `Authorization`; closes every connection after `each` answers.
async fn gateway(each: usize, answer: fn(&str, bool) -> (u16, &'static str)) -> Uri {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            for _ in 0..each {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => break,
                    }
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let Some(path) = head.split_whitespace().nth(1) else { break };
                let (status, body) = answer(path, head.contains("Basic good"));
                let text =
                    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                if stream.write_all(text.as_bytes()).await.is_err() {
                    break;
                }
            }
        }
    });
    format!("http://{address}").parse().expect("a URI")
}

fn watch(gateway: Uri, credentials: &[&'static str]) -> Watch {
    Watch {
        gateway,
        functions: vec![FunctionId::parse("cat.openfaas-fn").expect("a name")],
        credentials: credentials.iter().map(|text| HeaderValue::from_static(text)).collect(),
        transport: Transport::default(),
    }
}

#[tokio::test]
async fn credentials_are_tried_and_connections_opened_again() {
    let url = gateway(2, |path, good| match (path, good) {
        (_, false) => (401, "no"),
        ("/system/scaling/cat?namespace=openfaas-fn", true) => {
            (200, r#"{"desired":3,"ready":2,"min":1}"#)
        }
        _ => (500, "what?"),
    })
    .await;
    let mut watcher =
        Watcher::open(watch(url.clone(), &["Basic bad", "Basic good"])).await.expect("opened");
    let stop = CancellationToken::new();
    let board = watcher.board();
    let enough = async {
        while board.lock()[0].samples.len() < 4 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    tokio::join!(watcher.run(clock::now(), stop.clone()), enough);
    let overlays = board.overlays(&[]);
    assert_eq!(
        (overlays[0].function.as_str(), overlays[0].samples[0].ready),
        ("cat.openfaas-fn", 2)
    );
    assert_eq!(overlays[0].problem, None);
    let refused = Watcher::open(watch(url, &["Basic bad"])).await.err().expect("refused");
    assert!(refused.to_string().contains("wants another password"), "{refused}");
}

#[tokio::test]
async fn what_cannot_be_watched_is_said_before_the_load() {
    let none = gateway(9, |_, _| (404, "")).await;
    let error = Watcher::open(watch(none, &[])).await.err().expect("not deployed").to_string();
    assert!(
        error.starts_with("cat.openfaas-fn is not deployed at the gateway http://127.0.0.1:"),
        "{error}"
    );
    let nonsense = gateway(9, |_, _| (200, "<html>")).await;
    let error = Watcher::open(watch(nonsense, &[])).await.err().expect("not a gateway").to_string();
    assert!(error.contains("it does not speak as tidegate does"), "{error}");
    let nobody = "http://127.0.0.1:1".parse().expect("a URI");
    let error = Watcher::open(watch(nobody, &[])).await.err().expect("unreachable").to_string();
    assert!(error.contains("connection refused by 127.0.0.1:1"), "{error}");
}

#[tokio::test]
async fn a_plain_openfaas_gateway_is_watched_by_its_function_route() {
    let url = gateway(99, |path, _| match path {
        "/faas/system/function/cat?namespace=openfaas-fn" => {
            (200, r#"{"replicas":2,"availableReplicas":1}"#)
        }
        _ => (404, ""),
    })
    .await;
    let url = format!("{url}faas").parse().expect("a URI");
    let mut watcher = Watcher::open(watch(url, &[])).await.expect("opened");
    let seen = watcher.look(0).await.expect("seen");
    assert_eq!((seen.desired, seen.ready, seen.tells_decisions), (2, 1, false));
}
