//! The gate of one function: closes the race between going to zero and an arrival. Atomics only.
//!
//! ```text
//!         begin, iff nobody is inside           issue
//!  open ───────────────────────────► draining ─────────► closed ──► reopen ──► open
//!    ▲                                   │
//!    └────────── any arrival, cancel ────┘
//! ```
//!
//! Why no call slips through: an arrival first counts itself ([`Tally::arrive`]), then looks at the
//! gate; who begins first marks the gate, then looks at the tally. Both touch the tally by
//! read-modify-write, which are totally ordered: either the beginner sees the arrival and gives up, or
//! the arrival's increment comes after the beginner's look, and then it must see the mark.
//! `tests/gate_loom.rs` tries every interleaving.

#[cfg(feature = "loom")]
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
#[cfg(not(feature = "loom"))]
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Whether calls may be given replicas.
#[derive(Debug)]
pub struct Gate {
    /// `epoch × 4 + phase`; every way to zero has an epoch of its own.
    word: AtomicU64,
}

/// Calls that arrived and that left.
#[derive(Debug)]
pub struct Tally {
    arrived: AtomicU64,
    left: AtomicU64,
}

/// Whether the scale loop has been asked for a look and has not begun it.
///
/// Both sides are read-modify-writes, so that a call that finds the flag raised is seen by the look
/// that lowers it.
#[derive(Debug)]
pub struct Flag {
    raised: AtomicBool,
}

/// What the gate says to an arrival.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Replicas may be given calls; a drain that was under way is cancelled.
    Open,
    /// The replicas were told to go: wait in the room, and nudge.
    Closed,
}

/// One way to zero.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Epoch(u64);

const PHASES: u64 = 0b11;
const OPEN: u64 = 0;
const DRAINING: u64 = 1;
const CLOSED: u64 = 2;

const fn phase(word: u64) -> u64 {
    word & PHASES
}

const fn with_phase(word: u64, phase: u64) -> u64 {
    (word & !PHASES) | phase
}

// --- Gate

impl Gate {
    /// An open gate.
    pub fn new() -> Self {
        Self { word: AtomicU64::new(OPEN) }
    }

    /// Asked by an arrival that has counted itself already.
    pub fn admit(&self) -> Admission {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            match phase(word) {
                OPEN => return Admission::Open,
                CLOSED => return Admission::Closed,
                _ => match self.swap(word, with_phase(word, OPEN)) {
                    Ok(()) => return Admission::Open,
                    Err(changed) => word = changed,
                },
            }
        }
    }

    /// Begins the way to zero; `inside` must read the tally after the mark, so it is a closure.
    pub fn begin(&self, inside: impl FnOnce() -> u64) -> Option<Epoch> {
        let word = self.word.load(Ordering::Acquire);
        if phase(word) != OPEN {
            return None;
        }
        let draining = with_phase(word.wrapping_add(PHASES + 1), DRAINING);
        self.swap(word, draining).ok()?;
        let epoch = Epoch(draining);
        if inside() > 0 {
            self.cancel(epoch);
            return None;
        }
        Some(epoch)
    }

    /// Closes the gate, iff no arrival has cancelled this epoch.
    pub fn issue(&self, epoch: Epoch) -> bool {
        self.swap(epoch.0, with_phase(epoch.0, CLOSED)).is_ok()
    }

    /// Gives this epoch up, if it is still under way.
    pub fn cancel(&self, epoch: Epoch) {
        // Fails when an arrival was first; the gate is open then too.
        let _ = self.swap(epoch.0, with_phase(epoch.0, OPEN));
    }

    /// Opens a closed gate.
    pub fn reopen(&self) {
        let word = self.word.load(Ordering::Acquire);
        if phase(word) == CLOSED {
            // Only the scale loop opens and closes, so nothing else can have changed it.
            let _ = self.swap(word, with_phase(word, OPEN));
        }
    }

    /// Whether arrivals have to wait.
    pub fn is_closed(&self) -> bool {
        phase(self.word.load(Ordering::Acquire)) == CLOSED
    }

    fn swap(&self, from: u64, to: u64) -> Result<(), u64> {
        self.word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).map(|_| ())
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

// --- Flag

impl Flag {
    /// Not raised.
    pub fn new() -> Self {
        Self { raised: AtomicBool::new(false) }
    }

    /// Raises it; whether it was not raised before.
    pub fn raise(&self) -> bool {
        !self.raised.swap(true, Ordering::AcqRel)
    }

    /// Lowers it before a look; whether it was raised.
    pub fn lower(&self) -> bool {
        self.raised.swap(false, Ordering::AcqRel)
    }
}

impl Default for Flag {
    fn default() -> Self {
        Self::new()
    }
}

// --- Tally

impl Tally {
    /// Nobody came yet.
    pub fn new() -> Self {
        Self { arrived: AtomicU64::new(0), left: AtomicU64::new(0) }
    }

    /// A call arrives; to be followed by [`Gate::admit`].
    pub fn arrive(&self) {
        self.arrived.fetch_add(1, Ordering::AcqRel);
    }

    /// A call ends.
    pub fn leave(&self) {
        self.left.fetch_add(1, Ordering::AcqRel);
    }

    /// Who is inside, for [`Gate::begin`]: never too few. A read-modify-write on purpose, see above.
    pub fn inside(&self) -> u64 {
        let left = self.left.load(Ordering::Acquire);
        self.arrived.fetch_add(0, Ordering::AcqRel).saturating_sub(left)
    }

    /// Calls that ever arrived.
    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Acquire)
    }

    /// Calls that ever ended.
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Acquire)
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}
