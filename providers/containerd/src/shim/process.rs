//! One process of a container, its first or a command in it, from made to ended.

use std::cell::{Cell, RefCell};
use std::io;

use containerd_client::types::v1::Status;
use tokio::sync::{Mutex, oneshot, watch};

use super::exits::Ended;
use super::messages::Deleted;
use super::output::Output;

/// The status of a process that never ran. Source: containerd's shim for runc.
const NEVER_RAN: u32 = 255;

#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: Cell<u32>,
    pub(super) phase: Cell<Phase>,
    pub(super) ended: watch::Sender<Option<Ended>>,
    pub(super) stdio: [String; 3],
    /// Ends when its output is written.
    pub(super) written: RefCell<Option<oneshot::Receiver<()>>>,
    /// Held while it starts or is removed, and while its end is told: so that ends come after starts.
    pub(super) turn: Mutex<()>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Created,
    Running,
    Paused,
}

impl Process {
    pub(super) fn new(stdio: [String; 3]) -> Self {
        Self {
            pid: Cell::new(0),
            phase: Cell::new(Phase::Created),
            ended: watch::Sender::new(None),
            stdio,
            written: RefCell::default(),
            turn: Mutex::default(),
        }
    }

    pub(super) fn end(&self) -> Option<Ended> {
        *self.ended.borrow()
    }

    pub(super) async fn wait(&self) -> Ended {
        let mut ended = self.ended.subscribe();
        let known = ended.wait_for(Option::is_some).await.ok().and_then(|it| *it);
        known.expect("the sender is in our hands, and it has ended")
    }

    /// Whether it was started and has not ended.
    pub(super) fn runs(&self) -> bool {
        self.end().is_none() && self.phase.get() != Phase::Created
    }

    /// Ends the waiting for one that cannot be started, or never was.
    pub(super) fn never_ran(&self) {
        let ended = Ended { status: NEVER_RAN, at: crate::clock::wall() };
        self.ended.send_if_modified(|known| {
            let news = known.is_none();
            known.get_or_insert(ended);
            news
        });
    }

    pub(super) fn output(&self) -> io::Result<Output> {
        let [stdin, stdout, stderr] = &self.stdio;
        Output::new(stdin, stdout, stderr)
    }

    pub(super) fn status(&self) -> Status {
        match (self.end(), self.phase.get()) {
            (Some(_), _) => Status::Stopped,
            (None, Phase::Created) => Status::Created,
            (None, Phase::Running) => Status::Running,
            (None, Phase::Paused) => Status::Paused,
        }
    }

    pub(super) fn deleted(&self) -> Deleted {
        let end = self.end();
        Deleted {
            pid: self.pid.get(),
            exit_status: end.map_or(0, |it| it.status),
            exited_at: end.map(|it| it.at.into()),
        }
    }
}
