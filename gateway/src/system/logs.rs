//! GET `/system/logs`: lines of a function's replicas as NDJSON, one message at a time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use futures_util::StreamExt;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use tidegate_api::{LogMessage, parse_rfc3339, rfc3339};
use tidegate_core::FunctionId;
use tidegate_provider::{LogLine, LogQuery};

use super::request::Asked;
use crate::Gateway;
use crate::error::ManageError;

/// How far back lines are told when nothing is said about it, as in OpenFaaS.
const USUAL_SPAN: Duration = Duration::from_secs(300);

/// The lines there are, and with `follow` those to come until the client leaves.
pub(super) async fn read(
    State(gateway): State<Arc<Gateway>>,
    asked: Asked,
) -> Result<Response, ManageError> {
    let now = gateway.clock.wall(gateway.clock.now());
    let lines = gateway.provider.logs(query(&asked, now)?).await?;
    // Whoever follows would hold up the end of the gateway.
    let lines = lines.take_until(gateway.stopping.clone().cancelled_owned());
    // An error ends the stream; the client sees a broken answer, not a clean end.
    let messages = lines.map(|line| line.map(|line| message(&line)));
    let response = Response::builder()
        .header(CONTENT_TYPE, "application/x-ndjson")
        .header(CACHE_CONTROL, "no-cache")
        .body(Body::from_stream(messages));
    Ok(response.expect("fixed headers are good"))
}

fn query(asked: &Asked, now: SystemTime) -> Result<LogQuery, ManageError> {
    let bad = |what: &str, text: &str| ManageError::BadLogQuery(format!("{what} {text:?}"));
    let function = FunctionId::new(asked.get("name"), asked.get("namespace"));
    let tail = match asked.get("tail") {
        "" => None,
        text => {
            let lines: i64 = text.parse().map_err(|_| bad("tail", text))?;
            usize::try_from(lines).ok().filter(|lines| *lines > 0)
        }
    };
    let since = match asked.get("since") {
        "" if tail.is_some() => None,
        "" => now.checked_sub(USUAL_SPAN),
        text => Some(parse_rfc3339(text).ok_or_else(|| bad("since", text))?),
    };
    let instance = Some(asked.get("instance")).filter(|text| !text.is_empty());
    Ok(LogQuery {
        function: function.map_err(ManageError::bad)?,
        instance: instance.map(str::to_owned),
        since,
        tail,
        follow: asked.flag("follow"),
    })
}

fn message(line: &LogLine) -> String {
    let message = LogMessage {
        name: line.function.name().to_owned(),
        namespace: line.function.namespace().to_owned(),
        instance: line.instance.to_string(),
        timestamp: rfc3339(line.at),
        text: line.text.clone(),
    };
    let mut text = serde_json::to_string(&message).expect("texts always have a JSON form");
    text.push('\n');
    text
}
