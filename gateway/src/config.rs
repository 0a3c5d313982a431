//! What can be set about the gateway.

use std::time::Duration;

use tidegate_core::Reader;

use crate::auth::Credentials;
use crate::label_check::LabelCheck;

/// Most threads that can be asked for: a larger number is a slip of the pen.
const MOST_THREADS: usize = 1024;
/// What is said of them when the text is no such number.
const THREADS: &str = "a whole number from 0 to 1024";

/// Settings of the gateway; `Config::default()` is what a user gets who sets nothing.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who may use `/system` and `/ui`; `None` leaves them open.
    pub auth: Option<Credentials>,
    /// Threads that serve connections, each with a runtime of its own; with none the caller's serves.
    pub threads: usize,
    /// Longest wait for the head of a replica's answer. Bodies and upgrades may then last.
    pub upstream_timeout: Duration,
    /// Longest wait for a connection to a replica.
    pub connect_timeout: Duration,
    /// Longest wait in a waiting room, for a start or for a free slot.
    pub wake_timeout: Duration,
    /// Most calls that wait in the room of one function.
    pub room_size: usize,
    /// Longest a replica on its way out may finish its calls.
    pub drain_limit: Duration,
    /// How long a client may take to send the head of a request.
    pub header_timeout: Duration,
    /// Most idle connections kept to one replica.
    pub idle_connections: usize,
    /// How long an idle connection to a replica is kept.
    pub idle_timeout: Duration,
    /// How long a replica that refused a call gets none.
    pub quarantine: Duration,
    /// How often a call is tried again on another replica.
    pub retries: u32,
    /// When told to stop: how long clients are told to close their connections before we do.
    pub lame_duck: Duration,
    /// When told to stop: how long calls may finish.
    pub shutdown_grace: Duration,
    /// Largest body accepted by `/system`.
    pub management_body_limit: usize,
    /// The commit this is built from, shown by `/system/info`.
    pub sha: String,
    /// Further checks of the labels of what is deployed.
    pub label_check: LabelCheck,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            auth: None,
            threads: cores(),
            upstream_timeout: Duration::from_secs(300),
            connect_timeout: Duration::from_secs(5),
            wake_timeout: Duration::from_secs(60),
            room_size: 20_000,
            drain_limit: Duration::from_secs(3600),
            header_timeout: Duration::from_secs(60),
            idle_connections: 256,
            idle_timeout: Duration::from_secs(60),
            quarantine: Duration::from_millis(100),
            retries: 2,
            lame_duck: Duration::from_millis(500),
            shutdown_grace: Duration::from_secs(60),
            management_body_limit: 1 << 20,
            sha: "unknown".to_owned(),
            label_check: LabelCheck::default(),
        }
    }
}

impl Config {
    /// Reads what is set; OpenFaaS's `upstream_timeout` and `read_timeout` are aliases. Bad values are
    /// left in `vars` to be reported with all others. Credentials are not read here.
    pub fn read(vars: &mut Reader<'_>) -> Self {
        let default = Self::default();
        let upstream = vars.duration("upstream_timeout", default.upstream_timeout);
        let header = vars.duration("read_timeout", default.header_timeout);
        let threads = vars.parsed("TIDEGATE_THREADS", default.threads, THREADS);
        if threads > MOST_THREADS {
            vars.refuse("TIDEGATE_THREADS", THREADS);
        }
        Self {
            auth: None,
            threads,
            upstream_timeout: vars.duration("TIDEGATE_UPSTREAM_TIMEOUT", upstream),
            connect_timeout: vars.duration("TIDEGATE_CONNECT_TIMEOUT", default.connect_timeout),
            wake_timeout: vars.duration("TIDEGATE_WAKE_TIMEOUT", default.wake_timeout),
            room_size: vars.parsed("TIDEGATE_ROOM_SIZE", default.room_size, "a whole number"),
            drain_limit: vars.duration("TIDEGATE_DRAIN_LIMIT", default.drain_limit),
            header_timeout: vars.duration("TIDEGATE_HEADER_TIMEOUT", header),
            idle_connections: vars.parsed(
                "TIDEGATE_IDLE_CONNECTIONS",
                default.idle_connections,
                "a whole number",
            ),
            idle_timeout: vars.duration("TIDEGATE_IDLE_TIMEOUT", default.idle_timeout),
            quarantine: default.quarantine,
            retries: vars.parsed("TIDEGATE_RETRIES", default.retries, "a whole number"),
            lame_duck: vars.duration("TIDEGATE_LAME_DUCK", default.lame_duck),
            shutdown_grace: vars.duration("TIDEGATE_SHUTDOWN_GRACE", default.shutdown_grace),
            management_body_limit: default.management_body_limit,
            sha: default.sha,
            label_check: default.label_check,
        }
    }
}

/// How many threads can run at the same time.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
