//! `tidegate simulate` as a user meets it: traces in, figures side by side out, and where a bad file is bad.

#[allow(dead_code, reason = "these tests need no environment")]
#[path = "cli/program.rs"]
mod program;

use program::{Outcome, Tidegate};
use serde_json::Value;

const CAPACITY: [&str; 4] =
    ["-l", "com.openfaas.scale.type=capacity", "-l", "com.openfaas.scale.target=5"];

fn simulate(args: &[&str]) -> Tidegate {
    let mut all = vec!["simulate"];
    all.extend(args);
    Tidegate::new(&all)
}

fn json(args: &[&str], file: (&str, &str)) -> Value {
    let mut all = vec!["-o", "json"];
    all.extend(args);
    simulate(&all).file(file.0, file.1).run().success().json()
}

fn calls(report: &Value) -> u64 {
    report["policies"][0]["calls"].as_u64().expect("a count")
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

// What is printed.

#[test]
fn policies_stand_side_by_side() {
    let mut args = vec!["--trace", "generate:square?high=20&duration=20m"];
    for policy in
        ["tidegate", "openfaas-pro", "knative", "keda", "community", "fixed:10m", "oracle"]
    {
        args.extend(["--policy", policy]);
    }
    args.extend(CAPACITY);
    let table = simulate(&args).run().success().out;
    let heading = table.lines().next().expect("a heading");
    let names: Vec<&str> = heading.split_whitespace().collect();
    assert_eq!(
        names,
        ["tidegate", "openfaas-pro", "knative", "keda", "community", "fixed:10m", "oracle"]
    );
    for row in
        ["calls", "cold starts", "waited", "errors", "wait p99", "replica-seconds", "over target"]
    {
        assert!(table.contains(&format!("\n{row} ")), "{row} in {table}");
    }
    args.extend(["-o", "json"]);
    let report = simulate(&args).run().success().json();
    assert_eq!(report["api_version"], "tidegate.dev/simulation/v1");
    let policies = report["policies"].as_array().expect("a list");
    assert_eq!(policies.len(), 7);
    for policy in policies {
        assert_eq!(policy["calls"], policies[0]["calls"], "all get the same calls");
        assert_eq!(policy["decisions"].as_str().map(str::len), Some(16));
    }
}

#[test]
fn the_same_run_gives_the_same_bytes_and_another_seed_others() {
    let run = |seed: &str| {
        let trace = format!("generate:poisson?rate=20&duration=10m&seed={seed}");
        let mut args = vec!["--trace", &trace, "-o", "json"];
        args.extend(CAPACITY);
        simulate(&args).run().success().out
    };
    assert_eq!(run("1"), run("1"));
    assert_ne!(run("1"), run("2"));
}

const SWEEP: [&str; 14] = [
    "--trace",
    "generate:azure?functions=16&duration=1d&calls=3000",
    "--policy",
    "fixed:1m",
    "--policy",
    "fixed:20m",
    "--policy",
    "fixed:60m",
    "--policy",
    "budget:20",
    "--policy",
    "budget:200",
    "-l",
    "com.openfaas.scale.zero=true",
];

#[test]
fn a_sweep_shows_cold_starts_against_idle_time() {
    let table = simulate(&SWEEP).run().success().out;
    let (_, curve) = table.split_once("\n\n").expect("a second table");
    let heading = curve.lines().next().expect("a heading");
    assert!(heading.starts_with("policy ") && heading.contains("idle h/day"), "{heading}");
    assert!(curve.lines().any(|line| line.trim_end().ends_with("yes")), "{curve}");
    let mut args = SWEEP.to_vec();
    args.extend(["-o", "json"]);
    let report = simulate(&args).run().success().json();
    let curve = report["tradeoffs"].as_array().expect("a list");
    let idle: Vec<f64> = curve.iter().map(|one| number(&one["idle_replica_hours_a_day"])).collect();
    assert_eq!(idle.len(), 5);
    assert!(idle.is_sorted(), "{idle:?}");
    let cold = |name: &str| {
        let one = curve.iter().find(|one| one["policy"] == name).expect("it ran");
        number(&one["cold_share"])
    };
    assert!(cold("fixed:60m") < cold("fixed:1m"));
    assert!(cold("budget:200") < cold("budget:20"));
}

#[test]
fn a_page_stands_alone_and_has_the_curve() {
    let mut args = SWEEP.to_vec();
    args.extend(["-o", "html"]);
    let page = simulate(&args).run().success().out;
    assert!(page.starts_with("<!doctype html>"), "{page}");
    for part in ["Cold starts against idle time", "<svg", "<circle", "fixed:20m", "</html>"] {
        assert!(page.contains(part), "{part}");
    }
    for outside in ["http:", "https:", "src=", "<script", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
    let hostile = simulate(&["--trace", "<b>.csv", "-o", "html"]).file("<b>.csv", "0,cat\n").run();
    assert!(!hostile.success().out.contains("<b>.csv"));
}

// Traces.

#[test]
fn arrivals_with_and_without_headings_and_from_stdin() {
    let report = json(&["--trace", "a.csv"], ("a.csv", "0,cat,0.5\n1.5,cat\n2s,nap,20ms,100\n"));
    assert_eq!((calls(&report), &report["trace"]["functions"]), (3, &Value::from(2)));
    assert!((number(&report["policies"][0]["busy_call_seconds"]) - 0.62).abs() < 1e-9);
    let named = "function,duration,time\ncat,1s,10\ncat,1s,11\n";
    assert_eq!(calls(&json(&["--trace", "a.csv"], ("a.csv", named))), 2);
    let piped = simulate(&["--trace", "-", "-o", "json"]).stdin("0,cat\n").run().success().json();
    assert_eq!(calls(&piped), 1);
}

/// A day of one function, called once in each of these minutes.
fn day(minutes: &[usize]) -> String {
    let numbers: Vec<String> = (1..=1440).map(|minute| minute.to_string()).collect();
    let counts: Vec<&str> =
        (1..=1440).map(|minute| if minutes.contains(&minute) { "1" } else { "0" }).collect();
    format!(
        "HashOwner,HashApp,HashFunction,Trigger,{}\no1,a1,f1,http,{}\n",
        numbers.join(","),
        counts.join(",")
    )
}

#[test]
fn days_of_azure_follow_one_another_and_calls_take_what_a_second_file_says() {
    let durations = "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,\
        percentile_Average_50,percentile_Average_99\no1,a1,f1,2000,10,2000,2000,2000,2000\n";
    let args =
        ["--trace", "d01.csv", "--trace", "d02.csv", "--durations", "takes.csv", "-o", "json"];
    let report = simulate(&args)
        .file("d01.csv", &day(&[1, 2, 1440]))
        .file("d02.csv", &day(&[1]))
        .file("takes.csv", durations)
        .run()
        .success()
        .json();
    assert_eq!(calls(&report), 4);
    assert_eq!(report["trace"]["seconds"], 172_800.0);
    let busy = number(&report["policies"][0]["busy_call_seconds"]);
    assert!((busy - 8.0).abs() < 0.01, "{busy}");
}

#[test]
fn calls_of_azure_that_tell_their_end() {
    let trace = "app,func,end_timestamp,duration\na,f,10.5,0.5\na,g,11,1\na,f,12,0.25\n";
    let report = json(&["--trace", "a.csv"], ("a.csv", trace));
    assert_eq!((calls(&report), &report["trace"]["functions"]), (3, &Value::from(2)));
    // From the first begin, at 10 s, to the last end, and the tail.
    assert_eq!(report["trace"]["seconds"], 62.0);
}

#[test]
fn what_hey_writes() {
    let trace = "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset\n\
        0.0500,0.001,0.0,0.0,0.04,0.0,200,0.0100\n0.0600,0.001,0.0,0.0,0.04,0.0,200,0.0200\n";
    let report = json(&["--trace", "hey.csv"], ("hey.csv", trace));
    assert_eq!(calls(&report), 2);
    assert_eq!(report["policies"][0]["functions"][0]["function"], "hey.openfaas-fn");
}

#[test]
fn every_generator_is_listed_and_runs() {
    let list = simulate(&["--generators"]).run().success().out;
    let kinds: Vec<&str> =
        list.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    for kind in [
        "poisson",
        "bursts",
        "diurnal",
        "rare",
        "cron",
        "step",
        "ramp",
        "square",
        "sine",
        "spikes",
        "long-calls",
        "slow-starter",
        "crash-loop",
        "zipf",
        "azure",
    ] {
        assert!(kinds.contains(&kind), "{kind} in {list}");
    }
    for kind in kinds {
        let trace = match kind {
            "zipf" | "azure" => format!("generate:{kind}?functions=20&duration=20m"),
            "rare" => format!("generate:{kind}?duration=12h"),
            "bursts" => format!("generate:{kind}?duration=2h"),
            _ => format!("generate:{kind}?duration=20m"),
        };
        let trace = if kind == "azure" { format!("{trace}&calls=2000") } else { trace };
        let report = simulate(&["--trace", &trace, "-o", "json"]).run().success().json();
        assert!(calls(&report) > 0, "{kind}");
    }
}

#[test]
fn a_crash_loop_is_an_error_for_those_who_wait() {
    let args = ["--trace", "generate:crash-loop?rate=0.01&duration=2h", "-o", "json"];
    let mut args = args.to_vec();
    args.extend([
        "-l",
        "com.openfaas.scale.zero=true",
        "-l",
        "com.openfaas.scale.zero-duration=10s",
    ]);
    let policy = &simulate(&args).run().success().json()["policies"][0];
    assert!(number(&policy["failed_starts"]) > 3.0, "{policy}");
    assert!(number(&policy["errors"]["all"]) > 10.0, "{policy}");
}

// What was wrong, and where.

#[test]
fn a_broken_row_names_file_line_and_column() {
    let hey = "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset\n";
    let broken_day = day(&[1]).replacen("http,1,", "http,some,", 1);
    for (trace, at) in [
        ("0,cat\nsoon,cat\n", "t.csv:2:1: \"soon\""),
        ("time,function\n1,cat\n2,\n", "t.csv:3:3: the function has no name"),
        ("time,function,size\n", "t.csv:1:15: column \"size\""),
        ("0,cat,1s,few\n", "t.csv:1:10: \"few\""),
        ("app,func,end_timestamp,duration\na,f,1,-1\n", "t.csv:2:7: \"-1\""),
        ("app,func,end_timestamp,duration\na,f,1\n", "t.csv:2:1: 3 fields where 4 belong"),
        (&format!("{hey}0.1,0,0,0,0,0,200,x\n"), "t.csv:2:19: \"x\""),
        (&broken_day, "t.csv:2:15: \"some\""),
        ("tidegate-record 1\nlook,1,cat\n", "t.csv:2:1: "),
        ("who knows\n", "t.csv:1:1: the first line is of no known trace"),
        ("", "t.csv:1:1: the file is empty"),
    ] {
        simulate(&["--trace", "t.csv"]).file("t.csv", trace).run().failed(2, &[at]);
    }
    simulate(&["--trace", "gone.csv"]).run().failed(2, &["cannot read gone.csv", "because"]);
    simulate(&["--trace", "t.csv"]).file("t.csv", "time,function\n").run().failed(2, &["no calls"]);
}

#[test]
fn what_cannot_work_is_refused_with_what_would() {
    let trace = ["--trace", "generate:poisson?duration=1m"];
    let with = |more: &[&str]| -> Outcome {
        let mut args = trace.to_vec();
        args.extend(more);
        simulate(&args).run()
    };
    with(&["--policy", "nobody"]).failed(2, &["nobody is called", "budget:HOURS", "knative"]);
    with(&["--policy", "fixed:soon"]).failed(2, &["fixed:10m"]);
    with(&["--policy", "budget:much"]).failed(2, &["budget:much cannot work", "hours a day"]);
    with(&["--policy", "budget:0"]).failed(2, &["replica-hours a day above 0"]);
    with(&["-l", "com.openfaas.scale.min"]).failed(2, &["use KEY=VALUE"]);
    with(&["-l", "com.openfaas.scale.min=5", "-l", "com.openfaas.scale.max=2"])
        .failed(2, &["com.openfaas.scale.m", "cannot work"]);
    for word in ["typo", "cpu"] {
        let label = format!("com.openfaas.scale.type={word}");
        let target = "com.openfaas.scale.target=5";
        let outcome = with(&["-l", &label, "-l", target]);
        outcome.failed(2, &[word, "cannot be simulated", "capacity"]);
    }
    with(&["--max-inflight", "0"]).failed(2, &["max_inflight must be at least 1"]);
    with(&["--provider-model", "hot=1s"]).failed(2, &["\"hot\" is not known", "cold=800ms"]);
    with(&["--provider-model", "cold=quick"]).failed(2, &["is not a span"]);
    with(&["--record", "r.csv", "--policy", "knative"]).failed(2, &["only tidegate's own"]);
    with(&["--trace", "other.csv"]).failed(2, &["a generator stands alone"]);
    simulate(&[]).run().failed(2, &["--trace"]);
    simulate(&["--trace", "generate:waves"]).run().failed(2, &["poisson", "--generators"]);
    simulate(&["--trace", "generate:poisson?speed=3"]).run().failed(2, &["\"speed\"", "rate=5"]);
}

// Policies and the model of the provider.

#[test]
fn policy_files_are_toml_or_yaml_and_stronger_than_flags() {
    let toml = "name = \"few\"\nmax_inflight = 2\n[labels]\n\"com.openfaas.scale.max\" = 2\n";
    let yaml =
        "name: many\nlabels:\n  com.openfaas.scale.max: 50\nautoscaler:\n  stable_window: 20s\n";
    let mut args = vec!["--trace", "generate:poisson?rate=100&duration=10m", "-o", "json"];
    args.extend(["--policy", "few.toml", "--policy", "many.yml", "-l", "com.openfaas.scale.max=3"]);
    args.extend(CAPACITY);
    let report =
        simulate(&args).file("few.toml", toml).file("many.yml", yaml).run().success().json();
    let policies = &report["policies"];
    assert_eq!((&policies[0]["name"], &policies[1]["name"]), (&"few".into(), &"many".into()));
    assert_eq!(policies[0]["peak"], 2);
    assert!(number(&policies[1]["peak"]) > 3.0, "{}", policies[1]["peak"]);
    let bad = simulate(&["--trace", "generate:poisson", "--policy", "p.toml"]);
    bad.file("p.toml", "label = 3\n").run().failed(2, &["p.toml is no policy", "label"]);
}

#[test]
fn slower_replicas_make_calls_wait_longer() {
    let wait = |model: &str| {
        let args = ["--trace", "generate:cron?every=1h&duration=6h", "-o", "json"];
        let mut args = args.to_vec();
        args.extend(["--provider-model", model, "-l", "com.openfaas.scale.zero=true"]);
        args.extend(["-l", "com.openfaas.scale.zero-duration=5m"]);
        let report = simulate(&args).run().success().json();
        assert!(number(&report["policies"][0]["cold_starts"]) >= 5.0, "{report}");
        number(&report["policies"][0]["cold_wait"]["p50"])
    };
    let (quick, slow) = (wait("cold=200ms"), wait("cold=4s,ready=500ms"));
    assert!((quick - 0.2).abs() < 0.02, "{quick}");
    assert!((slow - 4.5).abs() < 0.1, "{slow}");
}

// Records.

/// A record of a policy on a load, and the hash of its decisions.
fn recorded(target: &str) -> (String, String) {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("night.record");
    let path = path.to_str().expect("UTF-8");
    let target = format!("com.openfaas.scale.target={target}");
    let outcome = simulate(&[
        "--trace",
        "generate:sine?low=5&high=200&period=10m&duration=30m",
        "--record",
        path,
        "-o",
        "json",
        "-l",
        "com.openfaas.scale.type=capacity",
        "-l",
        &target,
    ]);
    let report = outcome.run().success().json();
    let hash = report["policies"][0]["decisions"].as_str().expect("a hash").to_owned();
    (std::fs::read_to_string(path).expect("it was written"), hash)
}

#[test]
fn a_record_replayed_decides_the_same_and_says_so() {
    let (record, hash) = recorded("5");
    let replay =
        simulate(&["--replay", "r", "-o", "json"]).file("r", &record).run().success().json();
    assert_eq!(replay["recorded"], replay["replayed"]);
    assert_eq!(replay["recorded"], hash);
    assert!(number(&replay["changes"]) > 4.0, "{replay}");
    let table = simulate(&["--replay", "r"]).file("r", &record).run().success().out;
    assert!(table.contains("Looks:") && table.contains(&hash), "{table}");
    // Another target in the record must come to other decisions.
    let changed = record.replacen("scale.target=5", "scale.target=9", 1);
    assert_ne!(changed, record);
    simulate(&["--replay", "r"]).file("r", &changed).run().failed(1, &["r:", "was recorded"]);
    simulate(&["--replay", "gone"]).run().failed(2, &["cannot read gone"]);
    let bad = simulate(&["--replay", "r"]).file("r", "tidegate-record 1\nlook,x\n").run();
    bad.failed(2, &["r:2:"]);
}

#[test]
fn a_record_answers_what_another_target_would_have_cost() {
    let (record, _) = recorded("5");
    let mut args = vec!["--trace", "night.record", "-o", "json"];
    args.extend(["-l", "com.openfaas.scale.type=capacity", "--policy", "as.toml"]);
    args.extend(["--policy", "what.toml"]);
    let policy = |name: &str, target: u32| {
        format!("name = \"{name}\"\n[labels]\n\"com.openfaas.scale.target\" = {target}\n")
    };
    let report = simulate(&args)
        .file("night.record", &record)
        .file("as.toml", &policy("target=5", 5))
        .file("what.toml", &policy("target=20", 20))
        .run()
        .success()
        .json();
    let cost = |at: usize| number(&report["policies"][at]["replica_seconds"]);
    assert!(cost(1) < 0.7 * cost(0), "{} and {}", cost(1), cost(0));
}
