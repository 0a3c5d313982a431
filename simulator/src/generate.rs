//! Traces made from a seed: the same seed makes the same calls.
//!
//! Written `KIND?KEY=VALUE&KEY=VALUE`, as in `poisson?rate=5&duration=1h`. Every kind knows `seed`,
//! `duration`, `functions`, `takes` and `name`; `generate::help` lists the kinds with their own keys.

mod azure;
mod shape;
mod sparse;
mod spec;

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{FunctionId, Moment};

use crate::random::Random;
use crate::span::{Span, nanos};
use crate::trace::{Calls, Make, Trace, Traced};

use shape::{Rated, Shape};
pub use spec::BadSpec;
use spec::Spec;

/// The kinds of generators, their keys with defaults, and what they make.
pub const KINDS: [(&str, &str, &str); 17] = [
    ("poisson", "rate=5", "calls at random moments"),
    ("even", "rate=5 noise=0", "calls at even distances, the rate wavering by a share each second"),
    ("step", "from=1 to=20 at=(half)", "the rate jumps once"),
    ("ramp", "from=1 to=20", "the rate grows evenly"),
    ("square", "low=1 high=20 period=10m noise=0", "the rate jumps up and down"),
    ("sine", "low=1 high=20 period=1h noise=0", "the rate swings"),
    ("spikes", "low=1 high=100 period=10m width=10s", "short peaks"),
    (
        "diurnal",
        "rate=5 swing=0.8 weekend=0.4 shift=1.5 shift-at=(half)",
        "days, weekends, and a lasting change of level",
    ),
    ("bursts", "every=10m size=100 span=1s", "many calls together at random moments"),
    ("rare", "every=2h", "one call now and then"),
    ("cron", "every=5m jitter=2s drift=0s", "a timer that is not exact and runs late"),
    ("long-calls", "rate=0.2 takes=lognormal:30s:5m", "calls that take minutes"),
    ("slow-starter", "rate=5 cold=30s", "replicas that take long to start"),
    ("crash-loop", "rate=1 fail=1", "replicas that fail to start"),
    (
        "zipf",
        "functions=10000 rate=1000 exponent=1.1",
        "many functions, few of them popular; the rate is that of all together",
    ),
    (
        "azure",
        "functions=1000 duration=14d calls=24000000",
        "shaped as Azure's: half of the functions at most once an hour, 81 % at most once a minute, 16 % timers",
    ),
    ("mixed", "functions=14", "one function of each kind above but the last two"),
];

/// Makes the trace that a text describes.
///
/// # Errors
/// When the kind or a key is not known, or a value is not allowed.
pub fn generate(text: &str) -> Result<Trace, BadSpec> {
    let mut spec = Spec::parse(text)?;
    let common = Common::read(&mut spec)?;
    let functions = make(&mut spec, &common)?;
    spec.done()?;
    Ok(Trace { name: text.to_owned(), end: Moment::from_nanos(common.end), functions })
}

/// What every kind knows.
#[derive(Clone, Debug)]
struct Common {
    seed: u64,
    end: u64,
    functions: usize,
    takes: Span,
    name: String,
}

impl Common {
    fn read(spec: &mut Spec) -> Result<Self, BadSpec> {
        let kind = spec.kind.clone();
        let (duration, functions) = match kind.as_str() {
            "zipf" => (3600, 10_000),
            "azure" => (14 * 86_400, 1000),
            "diurnal" => (14 * 86_400, 1),
            "rare" | "cron" => (86_400, 1),
            _ => (3600, 1),
        };
        let takes = match kind.as_str() {
            "long-calls" => {
                Span::Lognormal { p50: Duration::from_secs(30), p99: Duration::from_secs(300) }
            }
            _ => Span::millis(100),
        };
        let functions = spec.whole("functions", functions)?;
        if !(1..=1_000_000).contains(&functions) {
            return Err(spec.refuse("functions", "a whole number from 1 to 1000000"));
        }
        Ok(Self {
            seed: spec.whole("seed", 1)?,
            end: nanos(spec.duration("duration", Duration::from_secs(duration))?),
            functions: functions as usize,
            takes: spec.span("takes", takes)?,
            name: spec.text("name", &kind),
        })
    }

    /// The name of the function of this number; a lone one has no number.
    fn id(&self, number: usize) -> Result<FunctionId, BadSpec> {
        let name = match self.functions {
            1 => self.name.clone(),
            _ => format!("{}-{number}", self.name),
        };
        FunctionId::parse(&name).map_err(|error| BadSpec::new(error.to_string()))
    }

    fn seed_of(&self, number: usize) -> u64 {
        Random::of(self.seed, number as u64).bits()
    }

    /// The same calls for each function, but for the seed.
    fn each<M: Make + 'static>(&self, maker: impl Fn(u64) -> M) -> Result<Vec<Traced>, BadSpec> {
        let traced = |number| {
            let calls = Calls::Made(Arc::new(maker(self.seed_of(number))));
            Ok(Traced::new(self.id(number)?, calls))
        };
        (0..self.functions).map(traced).collect()
    }

    fn rated(&self, shape: Shape) -> Result<Vec<Traced>, BadSpec> {
        let (end, takes) = (self.end, self.takes);
        self.each(|seed| Rated { shape: shape.clone(), end, takes, seed })
    }
}

fn make(spec: &mut Spec, common: &Common) -> Result<Vec<Traced>, BadSpec> {
    match spec.kind.as_str() {
        "zipf" => azure::zipf(spec, common),
        "azure" => azure::azure(spec, common),
        "mixed" => mixed(common),
        "bursts" | "rare" | "cron" => sparse::make(spec, common),
        "slow-starter" | "crash-loop" => {
            let slow = spec.kind == "slow-starter";
            let rate = spec.rate("rate", if slow { 5.0 } else { 1.0 })?;
            let cold = slow.then(|| spec.span("cold", Span::millis(30_000))).transpose()?;
            let fail = (!slow).then(|| spec.share("fail", 1.0)).transpose()?;
            let mut functions = common.rated(Shape::constant(rate))?;
            for function in &mut functions {
                (function.cold, function.fail) = (cold, fail);
            }
            Ok(functions)
        }
        _ => {
            let shape = Shape::read(spec, common.end)?;
            common.rated(shape)
        }
    }
}

/// One function of each kind.
fn mixed(common: &Common) -> Result<Vec<Traced>, BadSpec> {
    let mut functions = Vec::new();
    for (at, (kind, ..)) in KINDS.iter().enumerate() {
        if matches!(*kind, "zipf" | "azure" | "mixed") {
            continue;
        }
        let mut spec = Spec::parse(kind)?;
        let mut own = Common::read(&mut spec)?;
        own.seed = common.seed_of(at);
        own.end = common.end;
        functions.extend(make(&mut spec, &own)?);
    }
    Ok(functions)
}
