//! The waiting room of one function: calls that wait for a start or for a free slot, in order.
//!
//! A waiter holds its place by a [`Ticket`]; dropping it, because the client left or the deadline
//! passed, gives the place up. What waiters are handed decides `entry.rs`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// What waiters wait for; `T` is what they are handed.
#[derive(Debug)]
pub(crate) struct Room<T> {
    queue: Mutex<Queue<T>>,
    /// The queue's length, to be read without its lock.
    waiting: AtomicUsize,
}

#[derive(Debug)]
pub(crate) struct Queue<T> {
    back: i64,
    front: i64,
    /// In order; a map, since waiters may leave from the middle.
    waiters: BTreeMap<i64, oneshot::Sender<T>>,
}

/// Where a waiter queues.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind all others.
    Back,
    /// Before all others: it waited already, and what it was given turned out to be none.
    Front,
}

/// A waiter's place.
#[derive(Debug)]
pub(crate) struct Ticket<'a, T> {
    room: &'a Room<T>,
    place: i64,
    /// Whether the room was empty before.
    pub(crate) first: bool,
    pub(crate) handed: oneshot::Receiver<T>,
}

impl<T> Default for Room<T> {
    fn default() -> Self {
        let queue = Queue { back: 0, front: 0, waiters: BTreeMap::new() };
        Self { queue: Mutex::new(queue), waiting: AtomicUsize::new(0) }
    }
}

impl<T> Room<T> {
    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Takes a place; `None` when `most` wait already.
    pub(crate) fn join(&self, place: Place, most: usize) -> Option<Ticket<'_, T>> {
        let (sender, handed) = oneshot::channel();
        let mut queue = self.lock();
        let first = queue.waiters.is_empty();
        if queue.waiters.len() >= most {
            return None;
        }
        let place = match place {
            Place::Back => {
                queue.back += 1;
                queue.back
            }
            Place::Front => {
                queue.front -= 1;
                queue.front
            }
        };
        queue.waiters.insert(place, sender);
        self.waiting.store(queue.waiters.len(), Ordering::SeqCst);
        Some(Ticket { room: self, place, first, handed })
    }

    /// Takes waiters from the front for as long as `take` has something for them. They are to be told
    /// after this has returned, for what is handed over may come back through [`Room`] when dropped.
    pub(crate) fn serve(
        &self,
        mut take: impl FnMut() -> Option<T>,
    ) -> Vec<(oneshot::Sender<T>, T)> {
        let mut served = Vec::new();
        let mut queue = self.lock();
        while !queue.waiters.is_empty() {
            let Some(thing) = take() else { break };
            let (_, sender) = queue.waiters.pop_first().expect("it is not empty");
            served.push((sender, thing));
        }
        self.waiting.store(queue.waiters.len(), Ordering::SeqCst);
        served
    }

    fn leave(&self, place: i64) {
        let mut queue = self.lock();
        queue.waiters.remove(&place);
        self.waiting.store(queue.waiters.len(), Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Ticket<'_, T> {
    fn drop(&mut self) {
        // Closed first, so that nothing is handed over any more; then what was handed over and not
        // taken is dropped with the receiver.
        self.handed.close();
        self.room.leave(self.place);
    }
}

/// Hands over what [`Room::serve`] took; what a waiter that left does not take is dropped.
pub(crate) fn hand_over<T>(served: Vec<(oneshot::Sender<T>, T)>) {
    for (sender, thing) in served {
        drop(sender.send(thing));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn waiters_are_served_in_order_and_may_leave_from_the_middle() {
        let room = Room::default();
        let mut first = room.join(Place::Back, 3).expect("there is room");
        let second = room.join(Place::Back, 3).expect("there is room");
        let mut third = room.join(Place::Back, 3).expect("there is room");
        assert!(room.join(Place::Back, 3).is_none());
        assert!(first.first && !second.first);
        drop(second);
        assert_eq!(room.waiting(), 2);
        let mut things = vec![20, 10];
        hand_over(room.serve(|| things.pop()));
        assert_eq!(first.handed.try_recv(), Ok(10));
        assert_eq!(third.handed.try_recv(), Ok(20));
        assert_eq!(room.waiting(), 0);
    }

    #[test]
    fn who_was_turned_away_goes_to_the_front() {
        let room = Room::default();
        let mut second = room.join(Place::Back, 9).expect("there is room");
        let mut first = room.join(Place::Front, 9).expect("there is room");
        let mut things = vec![2, 1];
        hand_over(room.serve(|| things.pop()));
        assert_eq!((first.handed.try_recv(), second.handed.try_recv()), (Ok(1), Ok(2)));
    }

    #[test]
    fn what_is_handed_to_a_waiter_that_left_comes_back() {
        let room = Room::default();
        let thing = Arc::new(());
        let ticket = room.join(Place::Back, 1).expect("there is room");
        let mut things = vec![Arc::clone(&thing)];
        let served = room.serve(|| things.pop());
        drop(ticket);
        hand_over(served);
        assert_eq!(Arc::strong_count(&thing), 1);
    }
}
