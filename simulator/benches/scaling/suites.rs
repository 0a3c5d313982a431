//! The loads, at two sizes: many calls at once, where the generators' own noise is what wavers, and few
//! short ones, where chance moves the load more than they do.

/// One load.
pub struct Suite {
    pub name: &'static str,
    /// The generator that makes it.
    pub trace: &'static str,
    /// How long replicas take to start.
    pub cold: &'static str,
    /// Calls that one replica takes at once, which is its target too: a call that waits is a violation.
    pub target: u32,
    /// Whether functions may go to zero.
    pub zero: bool,
    /// How many periods it has, when it has any.
    pub periods: Option<f64>,
    /// Calls in flight at its highest level, when it has levels; else zero.
    pub highest: f64,
}

/// Minutes until a constant load is known for certain.
pub const WARM_UP: u32 = 10;

const COLD: &str = "800ms";

const fn suite(name: &'static str, trace: &'static str) -> Suite {
    Suite { name, trace, cold: COLD, target: 10, zero: false, periods: None, highest: 0.0 }
}

/// Many calls at once, so that what wavers is the load and not the number of calls that happen to be open.
const fn level(name: &'static str, highest: f64, trace: &'static str) -> Suite {
    Suite { target: 100, highest, ..suite(name, trace) }
}

/// Levels are 3 and 12 replicas in most of them.
pub const SUITES: [Suite; 15] = [
    level("constant", 500.0, "poisson?rate=250&takes=exp:2s&duration=1h"),
    Suite {
        periods: Some(6.0),
        ..level(
            "square",
            1000.0,
            "square?low=100&high=500&noise=0.1&period=10m&takes=exp:2s&duration=1h",
        )
    },
    Suite {
        periods: Some(3.0),
        ..level(
            "sine",
            1000.0,
            "sine?low=100&high=500&noise=0.1&period=1h&takes=exp:2s&duration=3h",
        )
    },
    level("step", 2000.0, "step?from=100&to=1000&takes=exp:2s&duration=30m"),
    level("ramp", 2000.0, "ramp?from=50&to=1000&takes=exp:2s&duration=30m"),
    Suite {
        periods: Some(6.0),
        ..level(
            "spikes",
            1000.0,
            "spikes?low=50&high=500&period=10m&width=20s&takes=exp:2s&duration=1h",
        )
    },
    level("days", 0.0, "diurnal?rate=50&takes=exp:2s&duration=48h&shift-at=24h"),
    Suite {
        cold: "30s",
        ..level("slow starter", 1000.0, "step?from=100&to=500&takes=exp:2s&duration=30m")
    },
    Suite { highest: 50.0, ..suite("short calls", "poisson?rate=250&takes=exp:200ms&duration=1h") },
    Suite {
        periods: Some(6.0),
        highest: 100.0,
        ..suite(
            "short calls, square",
            "square?low=100&high=500&noise=0.1&period=10m&takes=exp:200ms&duration=1h",
        )
    },
    Suite {
        highest: 200.0,
        ..suite("short calls, step", "step?from=100&to=1000&takes=exp:200ms&duration=30m")
    },
    suite("bursts", "bursts?every=1m&size=100&span=2s&takes=exp:200ms&duration=2h"),
    suite("long calls", "long-calls?rate=1&duration=6h"),
    Suite {
        zero: true,
        ..suite("zipf", "zipf?functions=1000&rate=500&takes=exp:200ms&duration=1h")
    },
    Suite { zero: true, ..suite("mixed", "mixed?duration=24h") },
];
