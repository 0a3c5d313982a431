//! A page of known results.

use super::*;
use crate::results::{Event, EventKind, Expectation, Latency, Overlay, Sample, Second, Tally};

fn results() -> Results {
    let second = |at: u32| Second {
        at,
        due: 100,
        sent: 100,
        answered: if at == 3 { 0 } else { 98 },
        errors: u64::from(at == 2) * 4,
        p50: 0.02,
        p90: 0.05,
        p99: 0.9,
        max: 1.0,
    };
    let latency = Latency {
        count: 980,
        min: 0.01,
        mean: 0.03,
        max: 1.0,
        percentiles: vec![(50.0, 0.02), (90.0, 0.05), (99.0, 0.9)],
        histogram: Vec::new(),
    };
    let tally = |name: &str| Tally {
        name: name.to_owned(),
        calls: 1000,
        answered: 980,
        errors: 20,
        corrected: latency.clone(),
        uncorrected: latency.clone(),
        statuses: [(200, 980)].into(),
        failures: [("<b>broken</b>".to_owned(), 20)].into(),
        ..Tally::default()
    };
    let sample =
        |(at, desired, ready): (f64, u32, u32)| Sample { at, desired, ready, ..Sample::default() };
    let event = |at: f64, kind, text: &str| Event {
        at,
        after_step: Some(at - 2.0),
        kind,
        text: text.to_owned(),
    };
    Results {
        open_loop: true,
        pace: "steps:\"><script>alert(1)</script>".to_owned(),
        elapsed: 10.0,
        total: tally("all"),
        targets: vec![tally("<script>alert(2)</script>"), tally("b")],
        seconds: (0..10).map(second).collect(),
        overlays: vec![Overlay {
            function: "cat<i>".to_owned(),
            samples: [(0.0, 1, 1), (2.4, 4, 1), (3.0, 4, 4), (12.0, 1, 1)].map(sample).into(),
            events: vec![
                event(2.0, EventKind::LoadStep, "0 → 100 calls/s"),
                event(2.3, EventKind::Decision, "1 → 4: <img src=x onerror=alert(3)>"),
            ],
            problem: None,
        }],
        expectations: vec![Expectation {
            text: "p99<200ms".to_owned(),
            measured: "900ms".to_owned(),
            met: false,
        }],
        ..Results::default()
    }
}

fn page_of(results: &Results) -> String {
    page(
        results,
        &About { command: "tidegate load '<u>'".to_owned(), notes: vec!["a & b".to_owned()] },
    )
}

/// `d` of every path within the figure.
fn paths<'a>(page: &'a str, figure: &str) -> Vec<&'a str> {
    let begin = page.find(&format!("<figure id=\"{figure}\"")).expect(figure);
    let end = begin + page[begin..].find("</figure>").expect("closed");
    page[begin..end].split(" d=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn four_charts_are_drawn_over_one_time_axis() {
    let page = page_of(&results());
    for (figure, lines) in [("rate", 4), ("latency", 4), ("replicas", 4), ("errors", 2)] {
        let found = paths(&page, figure);
        assert_eq!(found.len(), lines, "{figure}: {found:?}");
        assert!(found.iter().all(|path| path.len() > 8), "{figure}: {found:?}");
    }
    // 12 s is the last sample: every axis ends there.
    assert_eq!(page.matches(">12s</text>").count(), 4);
}

#[test]
fn a_second_without_answers_interrupts_the_latency() {
    let page = page_of(&results());
    let p50 = paths(&page, "latency")[3];
    assert_eq!(p50.matches('M').count(), 2, "{p50}");
}

#[test]
fn nothing_from_outside_becomes_markup() {
    let page = page_of(&results());
    for word in ["<script", "<img", "<b>broken", "<i>", "<u>"] {
        assert_eq!(
            page.matches(word).count(),
            usize::from(word == "<i>") * page.matches("<i></i>").count(),
            "{word}"
        );
    }
    assert!(page.contains("&lt;img src=x onerror=alert(3)&gt;"));
    assert!(page.contains("a &amp; b"));
    assert_eq!(escape("a\u{1b}[2J\"'"), "a\u{fffd}[2J&quot;&#39;");
}

#[test]
fn the_page_needs_nothing_else() {
    let page = page_of(&results());
    for word in ["http://", "https://", "src=\"", "url(", "@import", "<link"] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn a_run_without_anything_has_a_page() {
    let page = page_of(&Results::default());
    assert!(
        page.contains("not watched: add --gateway URL") && page.contains("nothing was answered")
    );
    assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
}

#[test]
fn a_long_run_is_drawn_with_few_points() {
    let seconds = (0..100_000).map(|at| Second {
        at,
        due: 10,
        answered: 10,
        p50: 0.1,
        p90: 0.1,
        p99: 0.1,
        ..Second::default()
    });
    let page = page_of(&Results { seconds: seconds.collect(), elapsed: 100_000.0, ..results() });
    assert!(page.len() < 400_000, "{}", page.len());
}

#[test]
fn a_draft_appears_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.html");
    std::fs::write(&path, "before").expect("written");
    drop(Draft::new(&path).expect("begun"));
    assert_eq!(std::fs::read_to_string(&path).expect("there"), "before");
    Draft::new(&path).expect("begun").finish("after").expect("written");
    assert_eq!(std::fs::read_to_string(&path).expect("there"), "after");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
    assert!(Draft::new(&folder.path().join("no/such.html")).is_err());
    assert!(Draft::new(folder.path()).is_err());
}
