//! How the processes below a shim end: its own children, and containers, which the kernel hands over to it when
//! the program that made them has ended.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::time::SystemTime;

use rustix::process::{WaitStatus, wait};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// What a signal's number is added to. Source: containerd, as shells do.
const SIGNALLED: u32 = 128;

/// How a process ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) status: u32,
    pub(super) at: SystemTime,
}

/// Tells how each process ended to whoever waits for it.
#[derive(Debug, Default)]
pub(super) struct Exits {
    awaited: RefCell<HashMap<u32, oneshot::Sender<Ended>>>,
    /// Ended before anybody knew their numbers. Kept only while a process is being started: later their numbers
    /// may belong to others.
    early: RefCell<HashMap<u32, Ended>>,
    starting: Cell<usize>,
}

/// While it lives no end of a process goes unnoticed.
#[derive(Debug)]
pub(super) struct Starting(Rc<Exits>);

impl Exits {
    /// To be held from before a process is started until all were asked for that come of it.
    pub(super) fn starting(self: &Rc<Self>) -> Starting {
        self.starting.set(self.starting.get() + 1);
        Starting(self.clone())
    }

    /// Tells of all ends, for ever.
    pub(super) async fn tell(&self, mut children: Signal) {
        while children.recv().await.is_some() {
            self.reap();
        }
    }

    /// Whether this one was asked for and has not been told of.
    pub(super) fn is_alive(&self, pid: u32) -> bool {
        self.awaited.borrow().contains_key(&pid)
    }

    fn reap(&self) {
        use rustix::process::WaitOptions;
        // Errors mean that there is no child at all.
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if let (Ok(pid), Some(status)) = (pid.as_raw_nonzero().get().try_into(), number(status))
            {
                self.ended(pid, Ended { status, at: crate::clock::wall() });
            }
        }
    }

    fn ended(&self, pid: u32, ended: Ended) {
        match self.awaited.borrow_mut().remove(&pid) {
            // Whoever waited may have stopped.
            Some(awaited) => drop(awaited.send(ended)),
            None if self.starting.get() > 0 => drop(self.early.borrow_mut().insert(pid, ended)),
            None => {}
        }
    }
}

impl Starting {
    /// Will tell how this process ended, also when it has already.
    pub(super) fn end_of(&self, pid: u32) -> oneshot::Receiver<Ended> {
        let (sender, receiver) = oneshot::channel();
        match self.0.early.borrow_mut().remove(&pid) {
            // The receiver is right here.
            Some(ended) => drop(sender.send(ended)),
            None => drop(self.0.awaited.borrow_mut().insert(pid, sender)),
        }
        receiver
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let left = self.0.starting.get() - 1;
        self.0.starting.set(left);
        if left == 0 {
            self.0.early.borrow_mut().clear();
        }
    }
}

/// The signal that tells of ended children. To be made before the first child.
pub(super) fn children() -> io::Result<Signal> {
    signal(SignalKind::child())
}

fn number(status: WaitStatus) -> Option<u32> {
    let by_signal = || status.terminating_signal().map(|it| SIGNALLED + it.unsigned_abs());
    status.exit_status().map(i32::unsigned_abs).or_else(by_signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(status: u32) -> Ended {
        Ended { status, at: SystemTime::UNIX_EPOCH }
    }

    #[test]
    fn an_end_is_told_whether_it_comes_before_or_after_somebody_asks() {
        let exits = Rc::new(Exits::default());
        let starting = exits.starting();
        exits.ended(7, ended(1));
        assert_eq!(starting.end_of(7).try_recv(), Ok(ended(1)));
        let mut later = starting.end_of(8);
        drop(starting);
        exits.ended(8, ended(137));
        assert_eq!(later.try_recv(), Ok(ended(137)));
    }

    #[test]
    fn an_end_that_nobody_asked_for_does_not_become_that_of_a_later_process() {
        let exits = Rc::new(Exits::default());
        let (starting, other) = (exits.starting(), exits.starting());
        exits.ended(7, ended(1));
        drop(starting);
        drop(other);
        assert!(exits.starting().end_of(7).try_recv().is_err());
        exits.ended(9, ended(1));
        assert!(exits.starting().end_of(9).try_recv().is_err());
    }
}
