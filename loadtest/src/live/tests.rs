//! Pictures and lines of a known moment.

use super::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

fn view() -> View {
    let second = |at: u32| Second {
        at,
        due: 200,
        sent: 200,
        answered: 190 + u64::from(at),
        errors: 0,
        p50: 0.031,
        p90: 0.04,
        p99: 0.05 + f64::from(at) / 1000.0,
        max: 0.2,
    };
    let mut total = Tally { calls: 2345, answered: 2340, errors: 5, ..Tally::default() };
    total.corrected.percentiles = vec![(50.0, 0.0305), (90.0, 0.041), (99.0, 0.12)];
    total.corrected.max = 0.8;
    View {
        pace: "steps:0/s@10s,200/s@30s".to_owned(),
        target: "http://127.0.0.1:8080/function/sleep".to_owned(),
        elapsed: Duration::from_millis(12_400),
        end: Some(Duration::from_secs(40)),
        calls: None,
        open: true,
        seconds: (0..12).map(second).collect(),
        total,
        ended: false,
        functions: vec![Function {
            name: "sleep.openfaas-fn".to_owned(),
            now: Sample {
                at: 12.2,
                desired: 8,
                ready: 4,
                in_flight: Some(20.0),
                waiting: Some(3.0),
            },
            ready: vec![1, 1, 1, 1, 2, 4, 4],
            decision: Some((2.2, "4 → 8: 40 calls ask for 8".to_owned())),
            problem: None,
        }],
    }
}

fn picture(view: &View, width: u16, height: u16) -> Vec<String> {
    let mut terminal =
        Terminal::new(TestBackend::new(width, height)).expect("a terminal in memory");
    terminal.draw(|frame| screen::draw(frame, view, true)).expect("drawn");
    let buffer = terminal.backend().buffer().clone();
    let row = |y: u16| {
        (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned()
    };
    (0..height).map(row).collect()
}

#[test]
fn the_picture_shows_load_latency_and_replicas() {
    let rows = picture(&view(), 80, 24);
    assert_eq!(
        rows[0],
        "tidegate load  steps:0/s@10s,200/s@30s → http://127.0.0.1:8080/function/sleep"
    );
    assert!(rows[1].contains("0:12 of 0:40"), "{rows:#?}");
    assert_eq!(rows[3], "offered 200/s   sent 200/s   answered 201/s   errors 5   calls 2345");
    assert_eq!(rows[4], "last second   p50  31.0ms   p90  40.0ms   p99  61.0ms   max   200ms");
    assert_eq!(rows[5], "so far        p50  30.5ms   p90  41.0ms   p99   120ms   max   800ms");
    assert!(rows[6].starts_with("╭ answered a second, at most 201 ─"), "{rows:#?}");
    assert!(rows[6].contains("╭ p99 a second, at most 61.0ms ─"), "{rows:#?}");
    assert_eq!(
        rows[19].split('─').next(),
        Some("╭ sleep.openfaas-fn: 4 of 8 ready, 20 in flight, 3 waiting "),
        "{rows:#?}"
    );
    assert!(rows[20].starts_with("│▂▂▂▂▄██"), "{rows:#?}");
    assert!(rows[21].starts_with("│2s ago 4 → 8: 40 calls ask for 8"), "{rows:#?}");
    assert_eq!(rows[23], "Ctrl-C ends it and shows the summary");
}

#[test]
fn any_size_can_be_drawn() {
    for (width, height) in [(1, 1), (10, 3), (20, 8), (79, 23), (300, 90)] {
        picture(&view(), width, height);
    }
    picture(&View::default(), 80, 24);
    let many = View { functions: vec![view().functions.remove(0); 9], ..view() };
    picture(&many, 80, 24);
}

#[test]
fn texts_from_outside_cannot_draw() {
    let mut evil = view();
    evil.functions[0].decision = Some((1.0, "\x1b[2Jgone\n".to_owned()));
    evil.target = "http://h/\x07".to_owned();
    assert!(
        picture(&evil, 80, 24).iter().all(|row| !row.contains('\x1b') && !row.contains('\x07'))
    );
}

#[test]
fn a_line_says_the_same_in_words() {
    assert_eq!(
        view().line(),
        "   12s  offered 200/s  sent 200/s  answered 201/s  errors 5  p50 31.0ms  p99 61.0ms  sleep.openfaas-fn: 4 of 8 ready, 20 in flight, 3 waiting"
    );
    let ended = View { ended: true, ..view() };
    assert!(ended.line().starts_with("   12s  load ended  sleep.openfaas-fn: 4 of 8 ready"));
}

#[test]
fn what_was_offered_is_of_the_second_that_is_told() {
    let mut quiet = view();
    let second = quiet.seconds.last_mut().expect("some");
    *second = Second { at: 11, due: 7, sent: 7, ..Second::default() };
    assert!(
        quiet.line().starts_with(
            "   12s  offered 7/s  sent 7/s  answered 0/s  errors 5  p50 -  p99 -  sleep"
        )
    );
    let rows = picture(&quiet, 80, 24);
    assert_eq!(rows[3], "offered 7/s   sent 7/s   answered 0/s   errors 5   calls 2345");
    assert_eq!(rows[4], "last second   p50       -   p90       -   p99       -   max       -");
    quiet.open = false;
    assert!(quiet.line().starts_with("   12s  sent 7/s"), "a closed loop offers nothing");
}

#[test]
fn what_is_cut_off_shows() {
    let rows = picture(&view(), 40, 24);
    assert_eq!(rows[0], "tidegate load  steps:0/s@10s,200/s@30s …");
    assert_eq!(rows[21], "│2s ago 4 → 8: 40 calls ask for 8      │");
    assert_eq!(picture(&view(), 30, 24)[21], "│2s ago 4 → 8: 40 calls ask …│");
}

#[test]
fn seconds_without_a_sample_hold_the_last_one() {
    let sample = |at: f64, ready: u32| Sample { at, ready, ..Sample::default() };
    assert_eq!(by_second(&[sample(0.1, 1), sample(0.9, 2), sample(3.2, 4)]), [2, 2, 2, 4]);
    assert!(by_second(&[]).is_empty());
}
