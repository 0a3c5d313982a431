//! The file of rules, which function has which, and answers of a server that is told what to say.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tidegate_core::{Decimal, FunctionId, labels};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const GOOD: &str = "
prometheus:
- url: http://127.0.0.1:9090/prom
  timeout: 2s
rules:
- name: lag
  query: sum by (function_name) (lag)
  target: 100
  functions: [orders, cat.dev]
- name: heat
  query: heat
  target: '0.5'
  proportion: 1
  interval: 1m
";

fn parse(text: &str) -> Result<Rules, (u64, String)> {
    Rules::parse(text, Path::new("/nonexistent"))
}

fn id(name: &str) -> FunctionId {
    FunctionId::parse(name).expect("a good name")
}

fn of_type(name: &str, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let labels = [&[(labels::TYPE, name)], more].concat();
    labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn functions_have_the_rules_that_list_them_and_the_one_they_name() {
    let rules = parse(GOOD).expect("good");
    let names = |function: &str, labels: &BTreeMap<String, String>| -> Vec<String> {
        rules.of(&id(function), labels).iter().map(|rule| rule.name.to_string()).collect()
    };
    let none = BTreeMap::new();
    assert_eq!(names("orders", &none), ["lag"]);
    assert_eq!(names("cat.dev", &none), ["lag"]);
    assert!(names("cat", &none).is_empty() && names("orders.dev", &none).is_empty());
    assert_eq!(names("orders", &of_type("heat", &[])), ["lag", "heat"]);
    let own = of_type("heat", &[(labels::TARGET, "7")]);
    let rule = rules.of(&id("cat"), &own).pop().expect("named");
    assert_eq!((rule.target, rule.proportion), (Decimal::whole(7), Decimal::whole(1)));
    assert_eq!(rule.min_interval, Duration::from_secs(60));
    let listed = rules.of(&id("orders"), &of_type("rps", &[(labels::TARGET, "7")]));
    assert_eq!((listed.len(), listed[0].target), (1, Decimal::whole(100)));
}

#[test]
fn a_type_that_is_no_rule_is_refused_with_the_names_of_those_there_are() {
    let rules = parse(GOOD).expect("good");
    for good in ["rps", "latency", "lag", "heat"] {
        assert_eq!(rules.check(&of_type(good, &[])), Ok(()));
    }
    let refused = rules.check(&of_type("leg", &[])).expect_err("a slip");
    assert!(refused.contains("com.openfaas.scale.type: \"leg\""), "{refused}");
    assert!(refused.ends_with("the rules are lag, heat"), "{refused}");
    assert!(Rules::default().check(&of_type("lag", &[])).is_err());
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (from, to, line, what) in [
        ("target: 100", "target: 0", 8, "\"0\" is not a number above 0"),
        ("name: heat", "name: lag", 10, "two rules have the name"),
        ("name: heat", "name: cpu", 10, "\"cpu\" is not the name of a rule"),
        ("interval: 1m", "interval: 1", 14, "not a duration from 1s to 1h"),
        ("query: heat", "query: ''", 11, "the query is empty"),
        ("query: heat", "qurey: heat", 11, "qurey"),
        ("[orders, cat.dev]", "[orders, C]", 9, "C"),
        ("http://127.0.0.1:9090/prom", "127.0.0.1:9090", 3, "is not the address of a server"),
        ("http://127", "http://u:secret@127", 3, "use basic_auth"),
        (
            "timeout: 2s",
            "ca_file: none.pem",
            4,
            "cannot read certificates from /nonexistent/none.pem",
        ),
        ("timeout: 2s", "timeout: 2h", 4, "not a duration"),
        ("name: heat", "name: heat\n  prometheus: other", 11, "no server of the name \"other\""),
        ("timeout: 2s", "timeout: 2s\n- url: http://b\n  name: b", 8, "say which server"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let (at, why) = parse(&GOOD.replacen(from, to, 1)).expect_err(to);
        assert!(why.contains(what) && !why.contains("secret"), "{to}: {why}");
        assert_eq!(at, line, "{to}: {why}");
    }
    let error = Rules::read(Path::new("/nonexistent/rules.yml")).expect_err("there is none");
    assert!(error.to_string().contains("name a file with --rules"), "{error}");
}

/// A server that gives one answer to whoever asks; what it was asked is in the second place.
async fn server(status: &str, body: &str) -> (Rules, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let asked = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.expect("a connection");
        let mut seen = Vec::new();
        // The body is there when its last words are.
        while !String::from_utf8_lossy(&seen).contains("query=") {
            let mut part = [0_u8; 4096];
            let read = connection.read(&mut part).await.expect("a request");
            seen.extend_from_slice(&part[..read]);
        }
        connection.write_all(answer.as_bytes()).await.expect("answered");
        String::from_utf8(seen).expect("text")
    });
    let text = GOOD.replace("http://127.0.0.1:9090/prom", &format!("http://{address}/prom"));
    (parse(&text).expect("good"), asked)
}

async fn ask(status: &str, body: &str) -> Result<Vec<(String, Result<f64, String>)>, NoAnswer> {
    let (rules, asked) = server(status, body).await;
    let answer = rules.iter().next().expect("a rule").server.query("a + b").await;
    let asked = asked.await.expect("asked");
    assert!(asked.starts_with("POST /prom/api/v1/query HTTP/1.1"), "{asked}");
    assert!(asked.ends_with("query=a+%2B+b"), "{asked}");
    let mut rows: Vec<_> = answer?.into_iter().map(|(id, value)| (id.to_string(), value)).collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(rows)
}

fn vector(rows: &str) -> String {
    format!("{{\"status\":\"success\",\"data\":{{\"resultType\":\"vector\",\"result\":[{rows}]}}}}")
}

#[tokio::test]
async fn rows_are_values_of_functions_and_what_is_no_amount_says_so() {
    let row = |name: &str, value: &str| {
        format!("{{\"metric\":{{\"function_name\":\"{name}\"}},\"value\":[1.5,\"{value}\"]}}")
    };
    let rows = [row("cat", "7.5"), row("dog.dev", "NaN"), row("ox.a", "1"), row("ox.a", "2")];
    let values = ask("200 OK", &vector(&rows.join(","))).await.expect("an answer");
    assert_eq!(values.len(), 3);
    assert_eq!(values[0], ("cat.openfaas-fn".to_owned(), Ok(7.5)));
    assert!(values[1].1.as_ref().is_err_and(|why| why.contains("NaN")), "{values:?}");
    assert!(values[2].1.as_ref().is_err_and(|why| why.contains("several rows")), "{values:?}");
    assert_eq!(ask("200 OK", &vector("")).await, Ok(Vec::new()));
}

#[tokio::test]
async fn any_other_answer_is_none() {
    let unnamed = vector("{\"metric\":{},\"value\":[1,\"3\"]}");
    let scalar = "{\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"3\"]}}";
    let unreadable = "{\"errorType\":\"bad_data\",\"error\":\"1:3: parse error\"}";
    for (status, body, why) in [
        ("200 OK", &*unnamed, "no row has the label function_name"),
        ("200 OK", scalar, "gives a scalar where a vector"),
        ("200 OK", "<html>", "no JSON"),
        ("400 Bad Request", unreadable, "the query cannot be read: 1:3: parse error"),
        ("503 Service Unavailable", "starting", "answered 503 Service Unavailable: starting"),
        ("302 Found", "", "answered 302 Found"),
    ] {
        let refused = ask(status, body).await.expect_err(body).to_string();
        assert!(refused.contains(why), "{refused}");
    }
}

#[tokio::test]
async fn who_answers_too_late_is_not_waited_for() {
    // Connections are taken up by the system and never answered.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let text = GOOD.replace("127.0.0.1:9090", &address.to_string());
    let rules = parse(&text.replace("timeout: 2s", "timeout: 50ms")).expect("good");
    let refused = rules.iter().next().expect("a rule").server.query("a").await;
    let Err(NoAnswer::Unreachable(why)) = refused else { panic!("{refused:?}") };
    assert!(why.ends_with("does not answer: it took too long"), "{why}");
}

#[tokio::test]
async fn nobody_there_is_said_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let text = GOOD.replace("127.0.0.1:9090", &address.to_string());
    let rules = parse(&text).expect("good");
    let refused = rules.iter().next().expect("a rule").server.query("a").await;
    let Err(NoAnswer::Unreachable(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("does not answer: ") && why.contains("refused"), "{why}");
}
