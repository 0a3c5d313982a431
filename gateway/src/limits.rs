//! Rate limits of a function, as its annotations ask for them. Off by default.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, Reference};
use governor::nanos::Nanos;
use governor::state::keyed::HashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use thiserror::Error;
use tidegate_core::Moment;
use tidegate_core::annotations::{BURST, CLIENT_BURST, CLIENT_RATE, RATE};

use crate::Clock;

/// Most clients remembered for one function; those beyond share one allowance.
const MOST_CLIENTS: usize = 10_000;

/// The rate limits that annotations ask for; none by default.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    function: Option<Rate>,
    client: Option<Rate>,
}

/// So many calls in a period, and so many at once.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Rate {
    calls: NonZeroU32,
    period: Duration,
    burst: NonZeroU32,
}

/// An annotation with a value that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("annotation {annotation}: {value:?} is not allowed; use {allowed}")]
pub struct BadAnnotation {
    /// The annotation's name.
    pub annotation: &'static str,
    /// Its value, cut at 80 characters.
    pub value: String,
    /// What would be allowed.
    pub allowed: &'static str,
}

impl Limits {
    /// Reads the limits.
    ///
    /// # Errors
    /// With the first value that is not allowed.
    pub fn from_annotations(annotations: &BTreeMap<String, String>) -> Result<Self, BadAnnotation> {
        Ok(Self {
            function: rate(annotations, RATE, BURST)?,
            client: rate(annotations, CLIENT_RATE, CLIENT_BURST)?,
        })
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

fn rate(
    annotations: &BTreeMap<String, String>,
    rate: &'static str,
    burst: &'static str,
) -> Result<Option<Rate>, BadAnnotation> {
    let bad = |annotation, allowed| {
        let text = annotations.get(annotation).map(String::as_str).unwrap_or_default();
        BadAnnotation { annotation, value: text.chars().take(80).collect(), allowed }
    };
    let at_once = match annotations.get(burst) {
        None => None,
        Some(text) => Some(
            text.trim().parse().map_err(|_| bad(burst, "a whole number above 0, such as 20"))?,
        ),
    };
    let Some(text) = annotations.get(rate) else {
        return match at_once {
            None => Ok(None),
            Some(_) => Err(bad(burst, "it together with the rate, which is missing")),
        };
    };
    let (calls, period) =
        read_rate(text.trim()).ok_or_else(|| bad(rate, "a rate such as 100/s, 1000/m or 50/h"))?;
    // Without a burst, what a second allows may come at once.
    let a_second = u64::from(calls.get()).div_ceil(period.as_secs().max(1));
    let a_second = u32::try_from(a_second).ok().and_then(NonZeroU32::new);
    let burst = at_once.or(a_second).unwrap_or(NonZeroU32::MIN);
    Ok(Some(Rate { calls, period, burst }))
}

fn read_rate(text: &str) -> Option<(NonZeroU32, Duration)> {
    let (calls, unit) = text.split_once('/')?;
    let seconds = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    let calls: NonZeroU32 = calls.trim().parse().ok()?;
    // Above this the time between two calls is less than a nanosecond.
    (calls.get() <= 1_000_000_000).then_some((calls, Duration::from_secs(seconds)))
}

// --- keeping them

/// The limits of one function, being kept.
pub(crate) struct Limiter {
    function: Option<RateLimiter<NotKeyed, InMemoryState, Time, NoMiddleware>>,
    client: Option<RateLimiter<IpAddr, HashMapStateStore<IpAddr>, Time, NoMiddleware>>,
    time: Time,
}

type NoMiddleware = governor::middleware::NoOpMiddleware<Nanos>;

/// The gateway's clock as governor wants it.
#[derive(Clone, Debug)]
struct Time(Clock);

impl governor::clock::Clock for Time {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        nanos(self.0.now())
    }
}

fn nanos(moment: Moment) -> Nanos {
    Nanos::from(moment.as_nanos())
}

/// A call that came too early.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct TooFast {
    /// Which limit it was.
    pub(crate) annotation: &'static str,
    /// When the next call is allowed.
    pub(crate) retry_after: Duration,
}

impl Limiter {
    /// Keeps `limits`; `None` when there is nothing to keep.
    pub(crate) fn new(limits: &Limits, clock: &Clock) -> Option<Self> {
        if limits.is_none() {
            return None;
        }
        let time = Time(clock.clone());
        let function = limits
            .function
            .map(|rate| RateLimiter::new(rate.quota(), InMemoryState::default(), time.clone()));
        let client = limits
            .client
            .map(|rate| RateLimiter::new(rate.quota(), HashMapStateStore::default(), time.clone()));
        Some(Self { function, client, time })
    }

    /// Counts a call of `client`.
    ///
    /// # Errors
    /// When it comes too early. A call refused for its client does not count for the function.
    pub(crate) fn check(&self, client: IpAddr) -> Result<(), TooFast> {
        if let Some(limiter) = &self.client {
            let key = self.client_key(limiter.len(), client);
            limiter.check_key(&key).map_err(|refusal| TooFast {
                annotation: CLIENT_RATE,
                retry_after: self.wait(refusal.earliest_possible()),
            })?;
        }
        if let Some(limiter) = &self.function {
            limiter.check().map_err(|refusal| TooFast {
                annotation: RATE,
                retry_after: self.wait(refusal.earliest_possible()),
            })?;
        }
        Ok(())
    }

    /// Forgets clients that have been quiet long enough.
    pub(crate) fn sweep(&self) {
        if let Some(limiter) = &self.client {
            limiter.retain_recent();
        }
    }

    fn wait(&self, until: Nanos) -> Duration {
        until.duration_since(self.time.now()).into()
    }

    /// One machine owns a /64 as a rule, so that is what an IPv6 client is told by. When too many
    /// clients are known, all share one key: the table stays bounded whoever calls.
    fn client_key(&self, known: usize, client: IpAddr) -> IpAddr {
        if known >= MOST_CLIENTS {
            return IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        }
        match client.to_canonical() {
            IpAddr::V6(address) => {
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
            }
            v4 => v4,
        }
    }
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter").finish_non_exhaustive()
    }
}

impl Rate {
    fn quota(self) -> Quota {
        let one = self.period.as_nanos() / u128::from(self.calls.get());
        let one = Duration::from_nanos(u64::try_from(one).unwrap_or(u64::MAX).max(1));
        Quota::with_period(one).expect("it is not zero").allow_burst(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits(pairs: &[(&str, &str)]) -> Result<Limits, BadAnnotation> {
        let annotations = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Limits::from_annotations(&annotations)
    }

    #[test]
    fn a_bad_value_is_refused_with_what_is_allowed() {
        for (annotation, value) in
            [(RATE, "100"), (RATE, "0/s"), (RATE, "5/d"), (CLIENT_RATE, "-1/s"), (BURST, "3")]
        {
            let bad = limits(&[(annotation, value)]).expect_err(value);
            assert_eq!((bad.annotation, bad.value.as_str()), (annotation, value));
        }
        assert!(limits(&[("other", "x")]).expect("nothing of ours").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_the_rate_holds() {
        let clock = Clock::new();
        let limits = limits(&[(RATE, "2/s"), (BURST, "3")]).expect("good");
        let limiter = Limiter::new(&limits, &clock).expect("there is one");
        let client = IpAddr::from([127, 0, 0, 1]);
        for _ in 0..3 {
            assert_eq!(limiter.check(client), Ok(()));
        }
        let refused = limiter.check(client).expect_err("the burst is used up");
        assert_eq!(refused.annotation, RATE);
        assert!(refused.retry_after <= Duration::from_millis(500));
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(limiter.check(client), Ok(()));
        assert!(limiter.check(client).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn clients_are_told_apart_and_the_table_is_bounded() {
        let clock = Clock::new();
        let limits = limits(&[(CLIENT_RATE, "1/m")]).expect("good");
        let limiter = Limiter::new(&limits, &clock).expect("there is one");
        let client = |number: u32| IpAddr::from(number.to_be_bytes());
        assert_eq!(limiter.check(client(1)), Ok(()));
        assert!(limiter.check(client(1)).is_err());
        assert_eq!(limiter.check(client(2)), Ok(()));
        for number in 0..30_000 {
            let _ = limiter.check(client(number));
        }
        assert!(limiter.client.as_ref().expect("kept").len() <= MOST_CLIENTS + 1);
        tokio::time::advance(Duration::from_secs(120)).await;
        limiter.sweep();
        assert_eq!(limiter.client.as_ref().expect("kept").len(), 0);
    }

    proptest! {
        #[test]
        fn no_value_panics(rate in ".{0,20}", burst in ".{0,12}") {
            if let Ok(limits) = limits(&[(RATE, &rate), (BURST, &burst)]) {
                let _ = limits.function.map(Rate::quota);
            }
        }

        #[test]
        fn every_whole_rate_is_kept(calls in 1_u32..=1_000_000_000, unit in "[smh]") {
            let limits = limits(&[(RATE, &format!("{calls}/{unit}"))]).expect("whole");
            let _ = limits.function.expect("one").quota();
        }
    }
}
