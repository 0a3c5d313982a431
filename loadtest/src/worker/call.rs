//! One call from its connection to its record: dialing, redirects, checks, and what to call a failure.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use thiserror::Error;

use super::closed::Moments;
use super::{Cut, Lane, Slot};
use crate::clock::now;
use crate::connection::Connection;
use crate::connection::answer::{Answer, Broken, Finder};
use crate::connection::dial::{ConnectError, DialTimes};
use crate::connection::parser::Parser;
use crate::connection::request::{Origin, Prepared, resolve};
use crate::h2;
use crate::plan::Due;
use crate::record::Ended;

/// Redirects followed before giving up; Go's number.
const MOST_REDIRECTS: usize = 10;
/// Origins that redirects may add, so that an odd server cannot fill memory.
const MOST_ORIGINS: usize = 4096;
/// A connection that lay idle for longer is looked at before it is used.
const LOOK_AFTER: Duration = Duration::from_millis(100);

/// An HTTP/2 connection and how many calls are on it.
pub(super) struct Shared2 {
    sender: h2::Sender,
    open: std::rc::Rc<Cell<usize>>,
}

/// Why a call failed.
#[derive(Debug, Error)]
enum Failure {
    #[error("{0}")]
    Connect(ConnectError),
    #[error("{0}")]
    Broken(Broken),
    #[error("stopped after {MOST_REDIRECTS} redirects")]
    Redirects,
    #[error("redirected to {0:?}, which is no http address")]
    Location(String),
}

/// An answer and the time its connections took.
struct Whole {
    answer: Answer,
    dial: DialTimes,
    /// When the request that was answered went out.
    begun: Instant,
}

impl Lane {
    /// Makes one call, records it, and returns when it ended.
    pub(super) async fn call(&self, slot: &Slot, due: Due, moments: Moments) -> Instant {
        let Moments { due: due_at, ready, sent } = moments;
        self.recorder.borrow_mut().sent(due.target, due_at, ready, sent);
        slot.deadline.set(self.shared.timeout.map(|timeout| sent + timeout));
        let result = slot.until_cut(self.perform(&due, sent)).await;
        slot.deadline.set(None);
        let failed = |failure: String| {
            let mut ended = Ended {
                target: due.target,
                due: due_at,
                sent,
                done: now(),
                phases: [Duration::ZERO; 5],
                bytes: 0,
                status: None,
                failure: Some(failure.into()),
            };
            ended.done = ended.done.max(sent);
            ended
        };
        let ended = match result {
            Ok(Ok(whole)) => self.answered(&due, moments, &whole),
            Ok(Err(failure)) => failed(failure.to_string()),
            Err(Cut::TimedOut) => failed(self.timed_out(&due)),
            // Cut off by the user: begun, but neither answered nor the target's error.
            Err(Cut::Stopped) => return now(),
        };
        let done = ended.done;
        self.recorder.borrow_mut().ended(ended);
        done
    }

    fn timed_out(&self, due: &Due) -> String {
        let after = tidegate_core::format_duration(self.shared.timeout.unwrap_or_default());
        // Counts only when no connection was ever opened: then this one was not, either.
        let origin = &self.shared.origins[self.shared.targets[due.target as usize].origin];
        let error = ConnectError::TimedOut { address: origin.address(), after: after.clone() };
        self.recorder.borrow_mut().refused(&error);
        format!("no answer within the timeout of {after}")
    }

    fn answered(&self, due: &Due, moments: Moments, whole: &Whole) -> Ended {
        let Whole { answer, dial, begun } = whole;
        let target = &self.shared.targets[due.target as usize];
        let right = target.statuses.is_empty() || target.statuses.contains(&answer.status);
        let failure: Option<Arc<str>> = if !right {
            Some(format!("status {}, expected {}", answer.status, listed(&target.statuses)).into())
        } else if !answer.found {
            Some(
                format!(
                    "the body does not contain {:?}",
                    target.find.as_deref().unwrap_or_default()
                )
                .into(),
            )
        } else {
            None
        };
        Ended {
            target: due.target,
            due: moments.due,
            sent: moments.sent,
            done: answer.done,
            phases: [
                dial.total,
                dial.dns,
                answer.written.saturating_duration_since(*begun),
                answer.first.saturating_duration_since(answer.written),
                answer.done.saturating_duration_since(answer.first),
            ],
            bytes: answer.bytes,
            status: Some(answer.status),
            failure,
        }
    }

    /// The call and what its redirects lead to.
    async fn perform(&self, due: &Due, sent: Instant) -> Result<Whole, Failure> {
        let mut target = Cow::Borrowed(&self.shared.targets[due.target as usize]);
        let mut due = *due;
        let mut dial = DialTimes::default();
        let mut begun = sent;
        for _ in 0..=MOST_REDIRECTS {
            let mut whole = self.exchange(&target, &due, begun).await?;
            dial.dns += whole.dial.dns;
            dial.total += whole.dial.total;
            let follow = matches!(whole.answer.status, 301 | 302 | 303 | 307 | 308);
            match whole.answer.location.take() {
                Some(location) if follow && !self.shared.transport.no_redirects => {
                    if !matches!(whole.answer.status, 307 | 308) {
                        due = Due { takes: None, body: None, ..due };
                    }
                    target = Cow::Owned(self.redirect(&target, whole.answer.status, &location)?);
                    begun = now();
                }
                _ => return Ok(Whole { dial, ..whole }),
            }
        }
        Err(Failure::Redirects)
    }

    fn redirect(&self, from: &Prepared, status: u16, location: &str) -> Result<Prepared, Failure> {
        let bad = || Failure::Location(location.chars().take(200).collect());
        let uri = resolve(&from.uri, location).ok_or_else(bad)?;
        let origin = Origin::of(&uri).ok_or_else(bad)?;
        let mut origins = self.origins.borrow_mut();
        let same_host = origins[from.origin].host == origin.host;
        let known = origins.iter().position(|known| *known == origin);
        let index = match known {
            Some(index) => index,
            None if origins.len() < MOST_ORIGINS => {
                origins.push(origin);
                origins.len() - 1
            }
            None => return Err(bad()),
        };
        Ok(from.redirected(status, uri, index, same_host, &self.shared.transport))
    }

    async fn exchange(
        &self,
        target: &Prepared,
        due: &Due,
        begun: Instant,
    ) -> Result<Whole, Failure> {
        // As in hey, HTTP/2 is what both sides agree on in TLS; plain http stays as it is.
        let http2 = self.shared.transport.http2 && self.origins.borrow()[target.origin].tls;
        // One greets while the others wait, or each would open a connection of its own.
        let mut greeting = match http2 {
            true => Some(self.greeting.lock().await),
            false => None,
        };
        if let Some(shared) = self.open_http2(target.origin) {
            drop(greeting);
            return self.exchange_http2(shared, target, due, DialTimes::default(), begun).await;
        }
        let recorded = due.takes.is_some() || due.body.is_some();
        let request: Cow<'_, [u8]> = match recorded {
            true => target.recorded(&self.shared.transport, due).into(),
            false => target.bytes.as_slice().into(),
        };
        if let Some(connection) = self.take_idle(target.origin, begun) {
            // A server that speaks only HTTP/1.1: its calls are not to wait for each other.
            greeting = None;
            match self.exchange_on(connection, target, &request, DialTimes::default(), begun).await
            {
                // The server hung up on an idle connection just now: not its fault, nor the call's.
                Err(Failure::Broken(Broken::Closed | Broken::Unanswered(_)))
                    if is_repeatable(&target.method) => {}
                result => return result,
            }
        }
        let origin = self.origins.borrow()[target.origin].clone();
        let (stream, dial) = match self.dialer.dial(&origin).await {
            Ok(dialed) => dialed,
            Err(error) => {
                self.recorder.borrow_mut().refused(&error);
                return Err(Failure::Connect(error));
            }
        };
        let begun = now();
        self.recorder.borrow_mut().connected();
        if http2 && stream.agreed_on_http2() {
            let sender = h2::greet(stream).await.map_err(Failure::Broken)?;
            let shared = Shared2 { sender, open: std::rc::Rc::default() };
            let mine = shared.again();
            if !self.shared.transport.no_keepalive {
                by_origin(&mut self.http2.borrow_mut(), target.origin).push(shared);
            }
            drop(greeting);
            return self.exchange_http2(mine, target, due, dial, begun).await;
        }
        drop(greeting);
        let connection = Connection::new(stream, begun);
        self.exchange_on(connection, target, &request, dial, begun).await
    }

    async fn exchange_on(
        &self,
        mut connection: Connection,
        target: &Prepared,
        request: &[u8],
        dial: DialTimes,
        begun: Instant,
    ) -> Result<Whole, Failure> {
        let parser = Parser::new(target.method == Method::HEAD);
        let finder = target.find.as_deref().map(Finder::new);
        let answer = connection
            .exchange(&self.scratch, request, parser, finder)
            .await
            .map_err(Failure::Broken)?;
        if answer.keep && !self.shared.transport.no_keepalive {
            by_origin(&mut self.idle.borrow_mut(), target.origin).push(connection);
        }
        Ok(Whole { answer, dial, begun })
    }

    fn take_idle(&self, origin: usize, at: Instant) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let idle = idle.get_mut(origin)?;
        loop {
            let connection = idle.pop()?;
            let lay = at.saturating_duration_since(connection.idle_since);
            if lay < LOOK_AFTER || !connection.is_closed() {
                return Some(connection);
            }
        }
    }

    async fn exchange_http2(
        &self,
        mut shared: Shared2,
        target: &Prepared,
        due: &Due,
        dial: DialTimes,
        begun: Instant,
    ) -> Result<Whole, Failure> {
        let open = Open::new(&shared.open);
        let answer = h2::exchange(&mut shared.sender, target, due).await;
        drop(open);
        let answer = answer.map_err(Failure::Broken)?;
        Ok(Whole { answer, dial, begun })
    }

    /// A shared connection that takes another call.
    fn open_http2(&self, origin: usize) -> Option<Shared2> {
        let mut http2 = self.http2.borrow_mut();
        let open = http2.get_mut(origin)?;
        open.retain(|shared| !shared.sender.is_closed());
        open.iter().find(|shared| shared.open.get() < h2::STREAMS).map(Shared2::again)
    }
}

impl Shared2 {
    fn again(&self) -> Self {
        Self { sender: self.sender.clone(), open: std::rc::Rc::clone(&self.open) }
    }
}

/// Counts a call on a shared connection, also when it is cut off.
struct Open<'a>(&'a Cell<usize>);

impl<'a> Open<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

fn by_origin<T>(all: &mut Vec<Vec<T>>, origin: usize) -> &mut Vec<T> {
    if all.len() <= origin {
        all.resize_with(origin + 1, Vec::new);
    }
    &mut all[origin]
}

/// Methods that a client may repeat by itself (RFC 9110, 9.2.2), without a body to send again.
fn is_repeatable(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

fn listed(statuses: &[u16]) -> String {
    let words: Vec<_> = statuses.iter().map(u16::to_string).collect();
    words.join(" or ")
}
