//! `tidegate invoke NAME`: calls a function, stdin as the body, its answer to stdout as it comes.
//!
//! ```text
//! stdin ─► request body ─► gateway ─► function ─► answer ─► stdout
//! ```
//!
//! A body that ends within the first mebibyte is sent with its length, for many function servers
//! cannot read chunks; a longer one, or any with `--stream`, flows while it is read.

use std::io::{self, IsTerminal};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use tidegate_core::{FunctionId, format_duration};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::Context;
use super::failure::{Exit, Failure, chain};
use crate::client::{Body, Gateway, encode, full};

/// How much of stdin is awaited before the call begins.
const AWAITED: usize = 1 << 20;

/// How much is read at a time.
const PIECE: usize = 64 << 10;

/// How much of an unsuccessful answer is shown.
const SHOWN: usize = 64 << 10;

/// Arguments of `invoke`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  echo hello | tidegate invoke cat
  tidegate invoke hello -X GET --query name=you
  tidegate invoke sleep -d '' -H 'X-Sleep: 300ms'")]
pub struct Args {
    /// Which function, as NAME or NAME.NAMESPACE
    name: String,
    /// Method
    #[arg(short = 'X', long, default_value = "POST")]
    method: String,
    /// A header, as 'Name: value'; may be repeated
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// A query parameter, as NAME=VALUE; may be repeated
    #[arg(long = "query", value_name = "NAME=VALUE")]
    queries: Vec<String>,
    /// Path below the function, such as /items/1
    #[arg(long, default_value = "", hide_default_value = true)]
    path: String,
    /// Type of the body [default: text/plain]
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// The body itself, or @FILE; stdin without it
    #[arg(short, long, value_name = "TEXT")]
    data: Option<String>,
    /// Sends stdin as it is read, without waiting for its end
    #[arg(long, conflicts_with = "data")]
    stream: bool,
    /// Shows status and headers of the answer on stderr
    #[arg(short, long)]
    include: bool,
    /// As in faas-cli
    #[arg(short = 'a', long = "async", hide = true)]
    asynchronous: bool,
}

/// Calls the function and relays its answer.
pub async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    if args.asynchronous {
        return Err(Failure::usage("asynchronous invocation is not built in yet")
            .help("call it without --async"));
    }
    let function = context.function(&args.name)?;
    let gateway = context.gateway()?;
    let mut request = head(&gateway, &function, &args)?;
    let (body, length_known) = body(context, &args, request.method()).await?;
    if !length_known && request.method() == Method::GET {
        return Err(Failure::usage("a GET with a streamed body is refused by most servers")
            .help("name another method with -X"));
    }
    *request.body_mut() = body;
    let call = relay(context, &gateway, &function, request, args.include);
    let Some(limit) = context.timeout() else { return call.await };
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
        let message = format!("{function} did not finish within {}", format_duration(limit));
        Err(Failure::new(Exit::TimedOut, message).help("wait longer with --timeout"))
    })
}

/// Everything of the request but its body.
fn head(gateway: &Gateway, function: &FunctionId, args: &Args) -> Result<Request<Body>, Failure> {
    let method = Method::from_bytes(args.method.as_bytes())
        .map_err(|_| Failure::usage(format!("{:?} is not a method", args.method)))?;
    let mut path = format!("/function/{function}");
    if !args.path.is_empty() {
        path += if args.path.starts_with('/') { "" } else { "/" };
        path += &args.path;
    }
    path += &query(&args.queries, path.contains('?'))?;
    let mut request = Request::new(full(Bytes::new()));
    *request.method_mut() = method;
    *request.uri_mut() = gateway.url().join(&path)?;
    for text in &args.headers {
        let (name, value) = header(text)?;
        if name == HOST {
            return Err(Failure::usage("the Host header is the gateway's own"));
        }
        request.headers_mut().append(name, value);
    }
    let content_type = args.content_type.as_deref();
    if content_type.is_some() || !request.headers().contains_key(CONTENT_TYPE) {
        let value = HeaderValue::from_str(content_type.unwrap_or("text/plain"))
            .map_err(|_| Failure::usage("--content-type is not fit for a header"))?;
        request.headers_mut().insert(CONTENT_TYPE, value);
    }
    Ok(request)
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let bad =
        || Failure::usage(format!("{text:?} is not a header")).help("write it as -H 'Name: value'");
    // faas-cli takes an equals sign too.
    let (name, value) = text.split_once([':', '=']).ok_or_else(bad)?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| bad())?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_| bad())?;
    Ok((name, value))
}

fn query(pairs: &[String], goes_on: bool) -> Result<String, Failure> {
    let mut text = String::new();
    for pair in pairs {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            Failure::usage(format!("{pair:?} is not a query parameter"))
                .help("write it as --query name=value")
        })?;
        text.push(if text.is_empty() && !goes_on { '?' } else { '&' });
        text += &format!("{}={}", encode(name), encode(value));
    }
    Ok(text)
}

/// The body, and whether its length is known.
async fn body(context: &Context, args: &Args, method: &Method) -> Result<(Body, bool), Failure> {
    if let Some(data) = &args.data {
        return Ok((given(data).await?, true));
    }
    let bodiless = *method == Method::GET || *method == Method::HEAD;
    if context.stdin_is_taken() || (bodiless && !args.stream) {
        return Ok((full(Bytes::new()), true));
    }
    if io::stdin().is_terminal() {
        context
            .output
            .note("reading the body from the terminal; end it with Ctrl-D, or give it with --data");
    }
    let mut stdin = tokio::io::stdin();
    if args.stream {
        return Ok((streamed(Bytes::new(), stdin), false));
    }
    let unread = |error| Failure::usage("cannot read stdin").because(error);
    let (start, ended) = first(&mut stdin).await.map_err(unread)?;
    Ok(if ended { (full(start), true) } else { (streamed(start, stdin), false) })
}

async fn given(data: &str) -> Result<Body, Failure> {
    let Some(path) = data.strip_prefix('@') else { return Ok(full(data.to_owned())) };
    let bytes = tokio::fs::read(path).await;
    let bytes =
        bytes.map_err(|error| Failure::usage(format!("cannot read {path}")).because(error))?;
    Ok(full(bytes))
}

/// What comes first, and whether that was all.
async fn first(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(Bytes, bool)> {
    let mut start = BytesMut::new();
    while start.len() < AWAITED {
        start.reserve(PIECE);
        if from.read_buf(&mut start).await? == 0 {
            return Ok((start.freeze(), true));
        }
    }
    Ok((start.freeze(), false))
}

fn streamed(start: Bytes, rest: impl AsyncRead + Send + Unpin + 'static) -> Body {
    let pieces = stream::unfold((Some(start), rest), |(start, mut rest)| async move {
        if let Some(start) = start.filter(|start| !start.is_empty()) {
            return Some((Ok(Frame::data(start)), (None, rest)));
        }
        let mut piece = BytesMut::with_capacity(PIECE);
        match rest.read_buf(&mut piece).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(Frame::data(piece.freeze())), (None, rest))),
            Err(error) => Some((Err(error), (None, rest))),
        }
    });
    StreamBody::new(pieces).boxed_unsync()
}

async fn relay(
    context: &Context,
    gateway: &Gateway,
    function: &FunctionId,
    request: Request<Body>,
    include: bool,
) -> Result<(), Failure> {
    let response = gateway.invoke(request).await?;
    if include {
        show_head(context, &response);
    }
    if !response.status().is_success() {
        return Err(unsuccessful(function, response).await);
    }
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Failure::failed(format!("the answer of {function} broke off"))
                .because(chain(&error))
                .help(format!("see why: tidegate logs {}", Context::spoken(function)))
        })?;
        if let Ok(data) = frame.into_data() {
            context.output.bytes(&data)?;
        }
    }
    Ok(())
}

fn show_head(context: &Context, response: &Response<Incoming>) {
    context.output.told(&format!("{:?} {}", response.version(), response.status()));
    for (name, value) in response.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        context.output.told(&format!("{name}: {value}"));
    }
    context.output.told("");
}

/// The failure that an unsuccessful answer means; what it says goes to stderr, for stdout is data.
async fn unsuccessful(function: &FunctionId, response: Response<Incoming>) -> Failure {
    let status = response.status();
    // Peers and tidegate mark what the gateway or the watchdog said instead of the function.
    let internal = response.headers().contains_key("x-openfaas-internal");
    let exit = match status {
        StatusCode::NOT_FOUND if internal => Exit::NotFound,
        StatusCode::GATEWAY_TIMEOUT => Exit::TimedOut,
        StatusCode::UNAUTHORIZED => Exit::NotAllowed,
        _ => Exit::Failed,
    };
    let text = beginning(response.into_body()).await;
    let spoken = Context::spoken(function);
    let failure =
        Failure::new(exit, format!("the call of {spoken} was answered {status}")).because(text);
    match status {
        StatusCode::NOT_FOUND => failure.help("see what is deployed: tidegate list"),
        _ => failure.help(format!("see what it wrote: tidegate logs {spoken}")),
    }
}

async fn beginning(mut body: Incoming) -> String {
    let mut start = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        start.extend_from_slice(&data);
        if start.len() > SHOWN {
            start.truncate(SHOWN);
            break;
        }
    }
    String::from_utf8_lossy(&start).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_split_at_its_first_mark() {
        let (name, value) = header("X-Time: 10:30").expect("a header");
        assert_eq!((name.as_str(), value.as_bytes()), ("x-time", b"10:30".as_slice()));
        assert!(header("no value").is_err() && header("bad name: x").is_err());
        assert!(header("X-Bad: a\nb").is_err());
    }

    #[test]
    fn query_values_are_encoded() {
        let pairs = ["a=1 2".to_owned(), "b=x=y".to_owned()];
        assert_eq!(query(&pairs, false).expect("pairs"), "?a=1%202&b=x%3Dy");
        assert_eq!(query(&pairs[..1], true).expect("pairs"), "&a=1%202");
        assert!(query(&["a".to_owned()], false).is_err());
    }

    #[tokio::test]
    async fn a_short_body_is_sent_whole_and_a_long_one_streamed() {
        let (start, ended) = first(&mut &b"hello"[..]).await.expect("memory reads");
        assert_eq!((start.as_ref(), ended), (b"hello".as_slice(), true));
        let long = vec![7_u8; AWAITED * 2];
        let (start, ended) = first(&mut long.as_slice()).await.expect("memory reads");
        assert!(!ended && start.len() >= AWAITED);
        let rest = io::Cursor::new(long[start.len()..].to_vec());
        let whole = streamed(start, rest).collect().await.expect("memory reads").to_bytes();
        assert_eq!(whole.len(), long.len());
    }
}
