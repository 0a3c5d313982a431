//! Which of containerd's helper processes looks after a container. They are called shims; each takes memory and
//! time to start, and can look after many containers.
//!
//! Each function has one of its own, or all functions of a namespace share a few: then a container comes to the one with
//! the fewest.
//!
//! A shim ends with the last task that is removed from it, also while the next one is on its way to it. So the last
//! removal and the making of tasks at one shim exclude each other here.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// What starting a shim costs, in containers that another one has more: it takes as long as a start without it.
const START: usize = 2;

/// The shims of all functions.
#[derive(Debug)]
pub(crate) struct Shims {
    /// Begins the names of groups that functions share.
    prefix: String,
    /// At most so many in a namespace are shared; none when each function has its own.
    most: Option<NonZeroUsize>,
    shims: Mutex<HashMap<Arc<Key>, Arc<Shim>>>,
}

/// The namespace, and the group as containerd calls it.
type Key = (String, String);

/// One that looks after containers of ours.
#[derive(Debug, Default)]
struct Shim {
    /// Containers that are with it, or will be.
    members: AtomicUsize,
    /// Tasks that it has for sure, and that nobody removes.
    tasks: AtomicUsize,
    gate: RwLock<()>,
}

/// A container's place at a shim, until it is dropped.
#[derive(Debug)]
pub(crate) struct Member {
    shims: Arc<Shims>,
    key: Arc<Key>,
    shim: Arc<Shim>,
    has_task: AtomicBool,
}

/// While it is held the shim does not change under whoever holds it.
#[derive(Debug)]
#[expect(dead_code, reason = "held, not looked into")]
pub(crate) enum Held<'a> {
    Shared(RwLockReadGuard<'a, ()>),
    Alone(RwLockWriteGuard<'a, ()>),
}

impl Shims {
    pub(crate) fn new(prefix: String, most: Option<NonZeroUsize>) -> Self {
        Self { prefix, most, shims: Mutex::default() }
    }

    /// A place for a new container: at the shim with the fewest, or at its function's `own`.
    pub(crate) fn join(self: &Arc<Self>, namespace: &str, own: String) -> Member {
        let mut shims = self.lock();
        let key = |group: String| (namespace.to_owned(), group);
        let shared = (0..self.most.map_or(0, NonZeroUsize::get)).map(|number| {
            let key = key(format!("{}{number}", self.prefix));
            let members = shims.get(&key).map_or(0, |it| it.members.load(Ordering::Relaxed));
            // Of two that cost the same, one that has to be started leaves more to share later.
            let cost = if members == 0 { START } else { members };
            (cost, members, number, key)
        });
        let chosen = shared.min().map_or_else(|| key(own), |(.., key)| key);
        self.enter(&mut shims, chosen, false)
    }

    /// The place of a container with a task that is there already, by its group.
    pub(crate) fn rejoin(self: &Arc<Self>, namespace: &str, group: &str) -> Member {
        self.enter(&mut self.lock(), (namespace.to_owned(), group.to_owned()), true)
    }

    fn enter(
        self: &Arc<Self>,
        shims: &mut HashMap<Arc<Key>, Arc<Shim>>,
        key: Key,
        has_task: bool,
    ) -> Member {
        let known = shims.get_key_value(&key).map(|(key, shim)| (key.clone(), shim.clone()));
        let (key, shim) = known.unwrap_or_else(|| {
            let (key, shim) = (Arc::new(key), Arc::<Shim>::default());
            shims.insert(key.clone(), shim.clone());
            (key, shim)
        });
        shim.members.fetch_add(1, Ordering::Relaxed);
        shim.tasks.fetch_add(has_task.into(), Ordering::SeqCst);
        Member { shims: self.clone(), key, shim, has_task: has_task.into() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<Key>, Arc<Shim>>> {
        self.shims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    /// What containerd calls those that share the shim.
    pub(crate) fn group(&self) -> &str {
        &self.key.1
    }

    /// To be held while a task is made.
    pub(crate) async fn making(&self) -> Held<'_> {
        Held::Shared(self.shim.gate.read().await)
    }

    /// The task was made.
    pub(crate) fn made(&self) {
        if !self.has_task.swap(true, Ordering::SeqCst) {
            self.shim.tasks.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Its task is gone, or will be.
    pub(crate) fn gone(&self) {
        if self.has_task.swap(false, Ordering::SeqCst) {
            self.shim.tasks.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// To be held while the task is removed, if there is any.
    pub(crate) async fn removing(&self) -> Held<'_> {
        self.gone();
        if self.shim.tasks.load(Ordering::SeqCst) > 0 {
            let held = self.shim.gate.read().await;
            // Others may have begun to go meanwhile; who waits to go alone waits for us.
            if self.shim.tasks.load(Ordering::SeqCst) > 0 {
                return Held::Shared(held);
            }
        }
        Held::Alone(self.shim.gate.write().await)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.gone();
        let mut shims = self.shims.lock();
        if self.shim.members.fetch_sub(1, Ordering::Relaxed) == 1 {
            shims.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn shims(most: usize) -> Arc<Shims> {
        Arc::new(Shims::new("tg-x-".to_owned(), NonZeroUsize::new(most)))
    }

    fn join(shims: &Arc<Shims>) -> Member {
        shims.join("fn", "own".to_owned())
    }

    fn groups(members: &[Member]) -> Vec<&str> {
        members.iter().map(Member::group).collect()
    }

    /// What a future gives at once, if it does.
    fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn containers_are_spread_and_a_shim_that_runs_is_preferred_to_one_more() {
        let shims = shims(2);
        let members: Vec<Member> = (0..6).map(|_| join(&shims)).collect();
        assert_eq!(groups(&members), ["tg-x-0", "tg-x-0", "tg-x-1", "tg-x-1", "tg-x-0", "tg-x-1"]);
        assert_eq!(shims.join("other", "own".to_owned()).group(), "tg-x-0", "not the same shim");
        drop(members);
        assert!(shims.lock().is_empty());
    }

    #[test]
    fn without_sharing_each_function_has_its_own() {
        assert_eq!(join(&shims(0)).group(), "own");
    }

    #[test]
    fn a_place_is_free_again_when_its_container_is_gone() {
        let shims = shims(2);
        let mut members: Vec<Member> = (0..4).map(|_| join(&shims)).collect();
        members.retain(|member| member.group() == "tg-x-1");
        assert_eq!(join(&shims).group(), "tg-x-0", "two are as long as a start");
        members.pop();
        assert_eq!(join(&shims).group(), "tg-x-1", "one is not");
    }

    #[test]
    fn containers_of_an_earlier_run_count() {
        let shims = shims(2);
        let earlier = ["tg-x-0", "tg-x-0", "tg-x-0", "tg-x-7", "of-a-function"];
        let earlier = earlier.map(|group| shims.rejoin("fn", group));
        assert_eq!(join(&shims).group(), "tg-x-1");
        assert_eq!(earlier[3].group(), "tg-x-7");
    }

    #[test]
    fn the_last_task_is_removed_while_no_other_is_made() {
        let shims = shims(1);
        let [one, other, next] = [(); 3].map(|()| join(&shims));
        one.made();
        other.made();
        let making = at_once(next.making()).expect("nobody is in the way");
        let removing = at_once(one.removing()).expect("another one is left");
        assert!(at_once(other.removing()).is_none(), "one is being made");
        drop(making);
        assert!(at_once(other.removing()).is_none(), "one is being removed, perhaps after it");
        drop(removing);
        let alone = at_once(other.removing()).expect("all are gone");
        assert!(at_once(next.making()).is_none(), "it would come to a shim that ends");
        drop(alone);
        assert!(at_once(next.making()).is_some());
        next.made();
        assert!(at_once(other.removing()).is_some_and(|it| matches!(it, Held::Shared(_))));
    }
}
