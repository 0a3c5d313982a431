//! `tidegate logs NAME`: what a function's replicas wrote, and with `--follow` what they write.
//!
//! The gateway sends JSON lines. As a table each becomes `time replica  text`; as JSON they are passed
//! on as they come.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use jiff::Timestamp;
use serde::Deserialize;
use tidegate_core::FunctionId;

use super::Context;
use super::failure::{Exit, Failure, chain};
use crate::client::encode;
use crate::output::Paint;

/// Longest line taken in; a longer one is passed on in parts.
const LONGEST: usize = 8 << 20;

/// Arguments of `logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate logs hello --since 10m
  tidegate logs hello -f --tail 20")]
pub struct Args {
    /// Which function
    name: String,
    /// Goes on with lines to come
    #[arg(short, long)]
    follow: bool,
    /// Only lines since then: a duration such as 10m, or a time such as 2026-11-21T10:00:00Z
    #[arg(long, value_name = "WHEN")]
    since: Option<Since>,
    /// At most this many of the newest lines
    #[arg(long, visible_alias = "lines", value_name = "N")]
    tail: Option<u32>,
    /// Only of this replica
    #[arg(long, value_name = "REPLICA")]
    instance: Option<String>,
    /// Only the text, without time and replica
    #[arg(long)]
    plain: bool,
}

/// How far back lines are wanted.
#[derive(Clone, Debug, PartialEq)]
pub enum Since {
    /// So long ago.
    Ago(Duration),
    /// At this time.
    Time(Timestamp),
}

/// One line as the gateway sends it.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    instance: String,
    #[serde(default)]
    timestamp: String,
    #[serde(default)]
    text: String,
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(span) = super::duration(text) {
            return Ok(Self::Ago(span));
        }
        text.parse().map(Self::Time).map_err(|_| {
            "use a duration such as 10m, or a time such as 2026-11-21T10:00:00Z".to_owned()
        })
    }
}

impl Since {
    /// The time that is meant.
    pub fn time(&self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(span) => now.checked_sub(*span).unwrap_or(Timestamp::UNIX_EPOCH),
            Self::Time(time) => *time,
        }
    }
}

/// Prints the lines.
pub async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let function = context.function(&args.name)?;
    let path = path(&function, &args, now());
    let spoken = Context::spoken(&function);
    let body = context
        .gateway()?
        .stream(&path, &format!("read the logs of {spoken}"))
        .await
        .map_err(Context::not_deployed)?;
    let printed = print(context, &args, body).await?;
    if printed == 0 && !args.follow {
        context.output.note(&format!("no lines of {spoken}; go further back with --since 1h"));
    }
    if args.follow {
        context.output.note("the gateway has ended the stream");
    }
    Ok(())
}

/// Wall time.
#[expect(
    clippy::disallowed_methods,
    reason = "`--since 10m` is counted from the wall clock of whoever asks"
)]
pub fn now() -> Timestamp {
    Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn path(function: &FunctionId, args: &Args, now: Timestamp) -> String {
    let mut path =
        format!("/system/logs?name={}&namespace={}", function.name(), function.namespace());
    path += if args.follow { "&follow=true" } else { "&follow=false" };
    if let Some(since) = &args.since {
        path += &format!("&since={}", encode(&since.time(now).to_string()));
    }
    if let Some(tail) = args.tail {
        path += &format!("&tail={tail}");
    }
    if let Some(instance) = &args.instance {
        path += &format!("&instance={}", encode(instance));
    }
    path
}

async fn print(context: &Context, args: &Args, mut body: Incoming) -> Result<u64, Failure> {
    let mut pending = BytesMut::new();
    let mut printed = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Failure::new(Exit::Unreachable, "the log stream broke off").because(chain(&error))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        pending.extend_from_slice(&data);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line = pending.split_to(end + 1);
            printed += u64::from(print_line(context, args, &line)?);
        }
        if pending.len() > LONGEST {
            printed += u64::from(print_line(context, args, &pending.split())?);
        }
    }
    printed += u64::from(print_line(context, args, &pending)?);
    Ok(printed)
}

/// Prints one line; `false` when it was empty. What is no JSON is passed on as it is.
fn print_line(context: &Context, args: &Args, line: &[u8]) -> Result<bool, Failure> {
    let text = String::from_utf8_lossy(line);
    let text = text.trim();
    if text.is_empty() {
        return Ok(false);
    }
    let output = &context.output;
    if output.is_json() {
        return output.line(text).map(|()| true);
    }
    let Ok(line) = serde_json::from_str::<Line>(text) else {
        return output.line(text).map(|()| true);
    };
    let words = line.text.trim_end_matches(['\r', '\n']);
    if args.plain || output.is_quiet() {
        return output.line(words).map(|()| true);
    }
    let head = output.paint(Paint::Dim, &format!("{} {}", short(&line.timestamp), line.instance));
    output.line(&format!("{head}  {words}")).map(|()| true)
}

/// A time to the millisecond, in UTC.
pub fn short(timestamp: &str) -> String {
    match timestamp.parse::<Timestamp>() {
        Ok(time) => format!("{time:.3}"),
        Err(_) => timestamp.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_span_or_a_time() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().expect("a time");
        let at = |text: &str| text.parse::<Since>().map(|since| since.time(now).to_string());
        assert_eq!(at("90s").expect("a span"), "2026-11-21T09:58:30Z");
        assert_eq!(at("2026-11-20T00:00:00+01:00").expect("a time"), "2026-11-19T23:00:00Z");
        assert!(at("yesterday").is_err());
    }

    #[test]
    fn times_are_shown_to_the_millisecond() {
        assert_eq!(short("2026-11-21T10:00:00.123456789Z"), "2026-11-21T10:00:00.123Z");
        assert_eq!(short("?"), "?");
    }
}
