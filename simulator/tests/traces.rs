//! Every format is read, and what is broken is named with file, line and column.

use std::fmt::Write;

use tidegate_simulator::trace::{BadTrace, Reading, Trace, read};

fn read_one(text: &str) -> Result<Trace, BadTrace> {
    read(vec![("t.csv".to_owned(), text.as_bytes())], None, &Reading::default())
}

fn calls(trace: &Trace) -> Vec<(String, u64, u64)> {
    let of = |one: &tidegate_simulator::trace::Traced| {
        let name = one.id.name().to_owned();
        let millis = |nanos: u64| nanos / 1_000_000;
        let stream = one.calls.stream();
        stream.map(move |call| (name.clone(), millis(call.at), millis(call.takes))).collect()
    };
    trace.functions.iter().flat_map(|one| -> Vec<_> { of(one) }).collect()
}

#[test]
fn arrivals_are_read_with_and_without_a_header() {
    let wanted =
        [("cat".to_owned(), 0, 250), ("cat".to_owned(), 1500, 100), ("dog".to_owned(), 500, 1000)];
    for text in [
        "time,function,duration,body\n10,cat,250ms,12\n11.5,cat,0.1,\n10.5,dog,1s,\n",
        "10,cat,250ms\n11.5,cat,0.1\n\n10.5,dog,1\n",
        "function,time,duration\r\ncat,10,0.25\r\ncat,11.5,\r\ndog,10.5,1\r\n",
    ] {
        assert_eq!(calls(&read_one(text).expect(text)), wanted, "{text}");
    }
}

#[test]
fn hey_is_read() {
    let text = "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset\n\
                0.0500,0.0001,0.0000,0.0000,0.0499,0.0000,200,0.0010\n\
                0.1000,0.0001,0.0000,0.0000,0.0499,0.0000,200,1.0010\n";
    let trace = read_one(text).expect("good");
    assert_eq!(calls(&trace), [("hey".to_owned(), 0, 50), ("hey".to_owned(), 1000, 100)]);
}

#[test]
fn azure_2021_is_read_from_ends_to_beginnings() {
    let text = "app,func,end_timestamp,duration\nab,f1,100.5,0.5\nab,f2,101,0.25\nab,f1,103,2.5\n";
    let trace = read_one(text).expect("good");
    let found: Vec<(u64, u64)> =
        calls(&trace).into_iter().map(|(_, at, takes)| (at, takes)).collect();
    assert_eq!(trace.functions.len(), 2);
    let mut sorted = found;
    sorted.sort_unstable();
    assert_eq!(sorted, [(0, 500), (500, 2500), (750, 250)]);
}

fn day(counts: &[(usize, u32)]) -> String {
    let mut text = "HashOwner,HashApp,HashFunction,Trigger".to_owned();
    for minute in 1..=1440 {
        let _ = write!(text, ",{minute}");
    }
    text += "\no,a,f,http";
    for minute in 1..=1440 {
        let count = counts.iter().find(|(at, _)| *at == minute).map_or(0, |(_, count)| *count);
        let _ = write!(text, ",{count}");
    }
    text + "\n"
}

#[test]
fn azure_2019_is_read_day_after_day_with_durations() {
    let days = [day(&[(1, 3), (1440, 2)]), day(&[(2, 4)])];
    let durations = "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,\
        percentile_Average_0,percentile_Average_1,percentile_Average_25,percentile_Average_50,\
        percentile_Average_75,percentile_Average_99,percentile_Average_100\n\
        o,a,f,10,5,10,10,10,10,10,10,10,10,10\n";
    let files = days.iter().map(|text| ("d.csv".to_owned(), text.as_bytes())).collect();
    let trace = read(files, Some(("t.csv".to_owned(), durations.as_bytes())), &Reading::default())
        .expect("good");
    let calls = calls(&trace);
    assert_eq!(calls.len(), 9);
    assert_eq!(trace.end.whole_seconds(), 2 * 86_400);
    let minutes: Vec<u64> = calls.iter().map(|(_, at, _)| at / 60_000 + 1).collect();
    assert_eq!(minutes, [1, 1, 1, 1440, 1440, 1442, 1442, 1442, 1442]);
    assert!(calls.iter().all(|(_, _, takes)| *takes == 10));
}

#[test]
fn a_broken_row_names_file_line_and_column() {
    let short_day = day(&[]).replace(",0\n", "\n");
    let long_day = day(&[]).replace(",0\n", ",0,0\n");
    let bad_day = day(&[]).replace("o,a,f,http,0", "o,a,f,http,x");
    let hey = "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset\n";
    for (text, says) in [
        ("", "t.csv:1:1: the file is empty"),
        ("what,is,this\n1,2,3\n", "t.csv:1:1: the first line is of no known trace"),
        ("time,function,duration\n1,cat,1\n2,cat,soon\n", "t.csv:3:7: \"soon\" is not a time"),
        ("time,function,duration\n-1,cat,1\n", "t.csv:2:1: \"-1\" is not a time"),
        ("time,function,duration\n1,,1\n", "t.csv:2:3: the function has no name"),
        ("time,function,duration\n1\n", "t.csv:2:1: fields are missing"),
        ("time,function,duration\n1,cat,1,2\n", "t.csv:2:9: a field too many"),
        ("time,function,length\n1,cat,1\n", "t.csv:1:15: column \"length\" is not"),
        ("1,cat,1,much\n", "t.csv:1:9: \"much\" is not a size in bytes"),
        ("1,cat,1e30\n", "t.csv:1:7: \"1e30\" is not a time"),
        (&format!("{hey}1,2,3\n"), "t.csv:2:1: 3 fields where 8 belong"),
        ("app,func,end_timestamp,duration\na,b,1\n", "t.csv:2:1: 3 fields where 4 belong"),
        ("app,func,end_timestamp,duration\na,b,1,NaN\n", "t.csv:2:7: \"NaN\" is not a time"),
        (&short_day, "t.csv:2:1: 1439 minutes where a day has 1440"),
        (&long_day, "one too many"),
        (&bad_day, "t.csv:2:12: \"x\" is not a whole number of calls"),
        ("tidegate-record 1\nlook,1\n", "t.csv:2:1: fields are missing"),
        ("tidegate-record 1\nlook,1,cat\n", "t.csv:2:1: 3 fields where a look has 20"),
        ("tidegate-record 1\nwhat,1,cat\n", "t.csv:2:1: \"what\" is not config"),
    ] {
        let error = read_one(text).expect_err(says).to_string();
        assert!(error.contains(says), "{error}\n    is not\n{says}");
    }
}

#[test]
fn bytes_that_are_no_text_are_an_error() {
    let bytes: &[u8] = b"time,function,duration\n1,\xff,1\n";
    let error = read(vec![("t.csv".to_owned(), bytes)], None, &Reading::default())
        .expect_err("no text")
        .to_string();
    assert!(error.starts_with("t.csv:2:1: cannot be read"), "{error}");
}
