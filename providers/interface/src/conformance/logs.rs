//! Logs: what functions write, merged over replicas.

use futures_util::StreamExt;
use tidegate_core::FunctionId;

use super::http::call;
use super::stage::{Stage, refused};
use crate::{LogLine, LogQuery, LogStream, ProviderError};

fn all_of(function: &FunctionId) -> LogQuery {
    let function = function.clone();
    LogQuery { function, instance: None, since: None, tail: None, follow: false }
}

async fn say(stage: &Stage, function: &FunctionId, replica: usize, line: &str) {
    let status = stage.status(function).await;
    let answer = stage.soon("an answer", call(&status.replicas[replica], line.as_bytes())).await;
    assert_eq!(answer.expect("a ready replica answers").status, 200);
}

async fn read(stage: &Stage, query: LogQuery) -> Vec<LogLine> {
    let stream = stage.provider.logs(query).await.expect("a deployed function has a log");
    let lines = stage.soon("the end of the log", stream.collect::<Vec<_>>()).await;
    lines.into_iter().map(|line| line.expect("a log can be read")).collect()
}

/// Lines arrive a moment after they were written.
async fn read_until(stage: &Stage, query: &LogQuery, last: &str) -> Vec<LogLine> {
    let reading = async {
        loop {
            let lines = read(stage, query.clone()).await;
            if lines.iter().any(|line| line.text.contains(last)) {
                return lines;
            }
            tokio::task::yield_now().await;
        }
    };
    stage.soon("the line is in the log", reading).await
}

async fn next_with(stage: &Stage, stream: &mut LogStream, text: &str) -> LogLine {
    let reading = async {
        loop {
            let line =
                stream.next().await.expect("a followed log goes on").expect("it can be read");
            if line.text.contains(text) {
                return line;
            }
        }
    };
    stage.soon("the line is told", reading).await
}

/// A line knows its function, its replica and its time.
pub async fn what_a_function_writes_is_told(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("talks"), 1).await;
    let status = stage.status(&function).await;
    say(stage, &function, 0, "first words").await;
    let lines = read_until(stage, &all_of(&function), "first words").await;
    let line = lines.iter().find(|line| line.text.contains("first words")).expect("found above");
    assert_eq!((&line.function, &line.instance), (&function, &status.replicas[0].id));
    assert!(line.at >= status.created);
    assert!(!line.text.ends_with('\n'));
}

/// The newest lines of all replicas together, in the order of time.
pub async fn the_last_lines_of_all_replicas_are_told(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("chorus"), 2).await;
    for (turn, line) in ["line-1", "line-2", "line-3", "line-4"].into_iter().enumerate() {
        say(stage, &function, turn % 2, line).await;
        read_until(stage, &all_of(&function), line).await;
    }
    let mut query = all_of(&function);
    let lines = read(stage, query.clone()).await;
    assert!(lines.is_sorted_by_key(|line| line.at));
    query.tail = Some(2);
    assert_eq!(read(stage, query).await, lines[lines.len() - 2..]);
}

/// `since` is a lower bound.
pub async fn lines_before_a_time_are_left_out(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("history"), 1).await;
    say(stage, &function, 0, "early").await;
    let early = read_until(stage, &all_of(&function), "early").await;
    say(stage, &function, 0, "late").await;
    let late = read_until(stage, &all_of(&function), "late").await;
    let at = late.iter().find(|line| line.text.contains("late")).expect("found above").at;
    assert!(early.iter().all(|line| line.at <= at));
    let lines = read(stage, LogQuery { since: Some(at), ..all_of(&function) }).await;
    assert!(lines.iter().any(|line| line.text.contains("late")));
    assert!(lines.iter().all(|line| line.at >= at));
}

/// Only what that replica wrote.
pub async fn one_replica_can_be_asked_for(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("soloist"), 2).await;
    say(stage, &function, 0, "from the one").await;
    say(stage, &function, 1, "from the other").await;
    let other = stage.status(&function).await.replicas[1].id.clone();
    let query = LogQuery { instance: Some(other.to_string()), ..all_of(&function) };
    let lines = read_until(stage, &query, "from the other").await;
    assert!(lines.iter().all(|line| line.instance == other && !line.text.contains("the one")));
}

/// Lines to come, those of replicas to come too; the stream ends with the function.
pub async fn who_follows_is_told_of_lines_to_come(stage: &mut Stage) {
    let function = stage.deployed(stage.harness.echo("serial"), 1).await;
    say(stage, &function, 0, "before").await;
    read_until(stage, &all_of(&function), "before").await;
    let query = LogQuery { follow: true, ..all_of(&function) };
    let mut stream = stage.provider.logs(query).await.expect("a deployed function has a log");
    next_with(stage, &mut stream, "before").await;
    say(stage, &function, 0, "after").await;
    next_with(stage, &mut stream, "after").await;
    stage.scale(&function, 2).await;
    let status = stage.ready(&function, 2).await;
    say(stage, &function, 1, "newcomer").await;
    let line = next_with(stage, &mut stream, "newcomer").await;
    assert_eq!(line.instance, status.replicas[1].id);

    stage.provider.delete(&function).await.expect("a deployed function is removed");
    let rest = async { while stream.next().await.is_some() {} };
    stage.soon("the log of a removed function ends", rest).await;
}

/// No function, no log.
pub async fn logs_of_what_is_not_deployed_are_refused(stage: &mut Stage) {
    let function = FunctionId::parse("nobody").expect("a good name");
    let result = stage.provider.logs(all_of(&function)).await.map(|_| ());
    refused(result, |error| matches!(error, ProviderError::NotDeployed(_)));
}
