//! The real hey beside ours on the same server: read by the same parser, counts are equal and latencies
//! agree.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests, not what they call"
)]
#![allow(clippy::disallowed_methods, reason = "runs another program in real time, with deadlines")]

#[allow(dead_code, reason = "the engine's tests use more of it")]
#[path = "engine/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use server::{Act, Server, answer, ok};
use tidegate_loadtest::args::{self, Command as Asked};
use tidegate_loadtest::csv::Rows;
use tidegate_loadtest::order::Order;
use tidegate_loadtest::{Call, Hooks, run, text};
use tokio_util::sync::CancellationToken;

/// Each answer takes so long: jitter of a busy machine is small beside it.
const DELAY: Duration = Duration::from_millis(50);
/// Two runs agree within this.
const WITHIN: f64 = 0.05;
/// The two run one after the other, and a machine busy with something else during one of them tells them
/// apart. Numbers that are reckoned differently differ each time.
const TRIES: usize = 10;

/// What scripts read from hey's summary.
#[derive(Debug, Default)]
struct Summary {
    /// `Total`, `Slowest`, … `Requests/sec`, `Total data`, `Size/request`.
    numbers: BTreeMap<String, f64>,
    percentiles: BTreeMap<String, f64>,
    statuses: BTreeMap<u16, u64>,
    errors: BTreeMap<String, u64>,
    phases: Vec<String>,
    histogram: Vec<(f64, u64)>,
    sections: Vec<String>,
}

fn parse(text: &str) -> Summary {
    let mut summary = Summary::default();
    for line in text.lines() {
        if !line.starts_with(' ') {
            if let Some(section) = line.strip_suffix(':') {
                summary.sections.push(section.to_owned());
            }
            continue;
        }
        let section = summary.sections.last().map(String::as_str).unwrap_or_default();
        let line = line.trim();
        let bracket = || {
            let (inside, rest) = line.strip_prefix('[')?.split_once("]\t")?;
            Some((inside.to_owned(), rest.to_owned()))
        };
        match section {
            "Summary" => {
                if let Some((name, value)) = line.split_once(":\t") {
                    let number = value.split(' ').next().and_then(|word| word.parse().ok());
                    summary.numbers.insert(name.to_owned(), number.expect(line));
                }
            }
            "Response time histogram" => {
                let (bound, rest) = line.split_once(" [").expect(line);
                let (count, bar) = rest.split_once("]\t|").expect(line);
                assert!(bar.chars().all(|c| c == '■'), "{line}");
                summary.histogram.push((bound.parse().expect(line), count.parse().expect(line)));
            }
            "Latency distribution" => {
                let (percent, rest) = line.split_once("% in ").expect(line);
                let seconds = rest.strip_suffix(" secs").expect(line);
                summary.percentiles.insert(percent.to_owned(), seconds.parse().expect(line));
            }
            "Details (average, fastest, slowest)" => {
                let (name, rest) = line.split_once(":\t").expect(line);
                assert_eq!(
                    rest.split(", ").filter(|part| part.ends_with(" secs")).count(),
                    3,
                    "{line}"
                );
                summary.phases.push(name.to_owned());
            }
            "Status code distribution" => {
                let (code, rest) = bracket().expect(line);
                let count = rest.strip_suffix(" responses").expect(line);
                summary.statuses.insert(code.parse().expect(line), count.parse().expect(line));
            }
            "Error distribution" => {
                let (count, what) = bracket().expect(line);
                summary.errors.insert(what, count.parse().expect(line));
            }
            _ => {}
        }
    }
    summary
}

async fn hey(args: &[&str]) -> Option<String> {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let output = tokio::task::spawn_blocking(move || Command::new("hey").args(args).output());
    match output.await.expect("not cancelled") {
        Ok(output) => Some(String::from_utf8(output.stdout).expect("text")),
        Err(_) => {
            eprintln!("skipped: hey is not installed (make deps-test)");
            None
        }
    }
}

/// Summary and rows of ours for the same words.
async fn ours(words: &[&str]) -> (String, String) {
    let words = words.iter().map(Into::into).collect();
    let Ok(Asked::Run(flags)) = args::parse(words) else { panic!("good words") };
    let order = Order::new(*flags, String::new()).expect("a good order");
    let rows = Arc::new(Mutex::new(Rows::new(Vec::<u8>::new())));
    let writer = Arc::clone(&rows);
    let on_call = Box::new(move |call: &Call| writer.lock().expect("nobody panics").write(call));
    let hooks = Hooks { on_call: Some(on_call), on_second: None };
    let results = run(&order.plan, hooks, CancellationToken::new()).await.expect("it runs");
    let rows = std::mem::replace(&mut *rows.lock().expect("nobody panics"), Rows::new(Vec::new()));
    let bytes = rows.finish().expect("written");
    (text::summary(&results), String::from_utf8(bytes).expect("text"))
}

/// Pairs of numbers that must agree.
#[derive(Debug, Default)]
struct Pairs(Vec<(String, f64, f64)>);

impl Pairs {
    fn add(&mut self, name: &str, hey: f64, ours: f64) {
        self.0.push((name.to_owned(), hey, ours));
    }

    fn apart(&self) -> Vec<String> {
        let apart = |(_, hey, ours): &&(String, f64, f64)| (hey - ours).abs() > hey * WITHIN;
        let tell =
            |(name, hey, ours): &(String, f64, f64)| format!("{name}: hey {hey}, ours {ours}");
        self.0.iter().filter(apart).map(tell).collect()
    }
}

/// Runs both, checks what must be equal each time, and tries again while numbers of time are apart.
/// `compare` gets what hey printed, and our summary and rows.
async fn agree(words: &[&str], compare: impl Fn(&str, &str, &str) -> Pairs) {
    let mut apart = Vec::new();
    for _ in 0..TRIES {
        let Some(theirs) = hey(words).await else { return };
        let (summary, rows) = ours(words).await;
        apart = compare(&theirs, &summary, &rows).apart();
        if apart.is_empty() {
            return;
        }
    }
    panic!("apart in each of {TRIES} runs; in the last: {apart:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_server_gives_the_same_numbers() {
    // Every tenth answer is a 500: 240 calls in all have 24 of them.
    let server = Server::start(|n, _| {
        Act::Send(DELAY, if n % 10 == 9 { answer("500 no", "", "no\n") } else { ok("hello\n") })
    })
    .await;
    let url = server.url("/");
    agree(&["-n", "240", "-c", "8", &url], |theirs, summary, _| {
        let (hey, ours) = (parse(theirs), parse(summary));
        assert_eq!(hey.statuses, ours.statuses, "{summary}");
        assert_eq!(ours.statuses.values().sum::<u64>(), 240);
        assert_eq!(hey.phases, ours.phases);
        assert_eq!(hey.sections, ours.sections);
        assert_eq!(hey.numbers["Total data"], ours.numbers["Total data"]);
        assert_eq!(hey.numbers["Size/request"], ours.numbers["Size/request"]);
        assert!(hey.percentiles.keys().eq(ours.percentiles.keys()), "{summary}");
        assert_eq!(ours.histogram.len(), 11);
        let counted =
            |summary: &Summary| summary.histogram.iter().map(|(_, count)| count).sum::<u64>();
        assert_eq!((counted(&hey), counted(&ours)), (240, 240));
        let mut pairs = Pairs::default();
        for name in ["Total", "Average", "Fastest", "Requests/sec"] {
            pairs.add(name, hey.numbers[name], ours.numbers[name]);
        }
        // The 99th of 240 calls is the third slowest: jitter, not the server.
        for percent in ["10", "25", "50", "75", "90"] {
            pairs.add(percent, hey.percentiles[percent], ours.percentiles[percent]);
        }
        pairs
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_counted_as_hey_counts_them() {
    let server = Server::start(|n, _| {
        if n % 5 == 4 { Act::SendAndClose(Vec::new()) } else { Act::Send(DELAY, ok("hello\n")) }
    })
    .await;
    let url = server.url("/");
    let words = ["-n", "100", "-c", "4", "-disable-keepalive", &url];
    let Some(theirs) = hey(&words).await else { return };
    let (summary, _) = ours(&words).await;
    let (hey, ours) = (parse(&theirs), parse(&summary));
    let sum = |summary: &Summary| {
        (summary.statuses.values().sum::<u64>(), summary.errors.values().sum::<u64>())
    };
    assert_eq!(sum(&hey), sum(&ours), "{theirs}\n{summary}");
    assert_eq!(hey.sections, ours.sections);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pace_of_its_own_is_kept_as_hey_keeps_it() {
    let server = Server::start(|_, _| Act::Send(Duration::ZERO, ok("hello\n"))).await;
    let url = server.url("/");
    // Each worker has 20 turns, the first after a gap of 50 ms.
    agree(&["-n", "40", "-c", "2", "-q", "20", &url], |theirs, summary, _| {
        let (hey, ours) = (parse(theirs), parse(summary));
        assert_eq!(hey.statuses, ours.statuses, "{summary}");
        let mut pairs = Pairs::default();
        for name in ["Total", "Requests/sec"] {
            pairs.add(name, hey.numbers[name], ours.numbers[name]);
        }
        pairs
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_have_the_same_columns() {
    let server = Server::start(|_, _| Act::Send(DELAY, ok("hello\n"))).await;
    let url = server.url("/");
    agree(&["-n", "40", "-c", "4", "-o", "csv", &url], |theirs, _, rows| {
        let (hey, ours): (Vec<&str>, Vec<&str>) =
            (theirs.lines().collect(), rows.lines().collect());
        assert_eq!((hey[0], hey.len()), (ours[0], ours.len()));
        for line in &ours[1..] {
            let places = |field: &str| field.split_once('.').map_or(0, |(_, places)| places.len());
            let mut numbers = line.split(',').enumerate().filter(|(column, _)| *column != 6);
            assert!(numbers.all(|(_, field)| places(field) == 4), "{line}");
        }
        let mut pairs = Pairs::default();
        for (name, column) in [("response-time", 0), ("status-code", 6)] {
            pairs.add(name, mean(&hey[1..], column), mean(&ours[1..], column));
        }
        pairs
    })
    .await;
}

/// The mean of a column of numbers.
fn mean(rows: &[&str], column: usize) -> f64 {
    let value = |row: &&str| row.split(',').nth(column).expect("a column").parse::<f64>();
    rows.iter().map(|row| value(row).expect("a number")).sum::<f64>() / rows.len() as f64
}
