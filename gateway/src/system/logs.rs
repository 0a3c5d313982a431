//! GET `/system/logs`: lines of a function's replicas as NDJSON, one message at a time.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::Response;
use futures_util::StreamExt;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Deserialize;
use tidegate_api::{LogMessage, parse_rfc3339, rfc3339};
use tidegate_core::FunctionId;
use tidegate_provider::{LogLine, LogQuery};

use crate::Gateway;
use crate::error::ManageError;

/// As clients write it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    name: String,
    namespace: String,
    instance: String,
    tail: String,
    follow: String,
    since: String,
}

/// The lines there are, and with `follow` those to come until the client leaves.
pub(super) async fn read(
    State(gateway): State<Arc<Gateway>>,
    Query(asked): Query<Asked>,
) -> Result<Response, ManageError> {
    let lines = gateway.provider.logs(asked.query()?).await?;
    // An error ends the stream; the client sees a broken answer, not a clean end.
    let messages = lines.map(|line| line.map(|line| message(&line)));
    let response = Response::builder()
        .header(CONTENT_TYPE, "application/x-ndjson")
        .header(CACHE_CONTROL, "no-cache")
        .body(Body::from_stream(messages));
    Ok(response.expect("fixed headers are good"))
}

impl Asked {
    fn query(&self) -> Result<LogQuery, ManageError> {
        let bad = |what: &str, text: &str| ManageError::BadLogQuery(format!("{what} {text:?}"));
        let function = FunctionId::new(&self.name, &self.namespace).map_err(ManageError::bad)?;
        let tail = match self.tail.as_str() {
            "" => None,
            text => {
                let lines: i64 = text.parse().map_err(|_| bad("tail", text))?;
                usize::try_from(lines).ok().filter(|lines| *lines > 0)
            }
        };
        let since = match self.since.as_str() {
            "" => None,
            text => Some(parse_rfc3339(text).ok_or_else(|| bad("since", text))?),
        };
        let instance = Some(self.instance.clone()).filter(|instance| !instance.is_empty());
        let follow = matches!(self.follow.as_str(), "1" | "t" | "T" | "true" | "TRUE" | "True");
        Ok(LogQuery { function, instance, since, tail, follow })
    }
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
