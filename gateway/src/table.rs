//! The function table: from the name in a path to the entry of a deployed function, without a lock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use papaya::HashMap;
use tidegate_core::{DEFAULT_NAMESPACE, FunctionId, Moment};
use tidegate_provider::FunctionStatus;

use crate::entry::Shared;
use crate::nudge::nudges;
use crate::upstream::PoolSettings;
use crate::{Clock, Config, Entry, Nudges};

/// More shards than this cost more memory than they save time.
const MOST_SHARDS: usize = 8;

/// All deployed functions.
#[derive(Debug)]
pub struct Table {
    /// By `name.namespace`; those of the default namespace also by the bare name, so that a look-up
    /// never has to build a text.
    entries: HashMap<Arc<str>, Arc<Entry>>,
    shared: Arc<Shared>,
    /// Held by who changes an entry or the set of them, so that nothing older overwrites.
    writing: Mutex<()>,
    synced: AtomicBool,
}

impl Table {
    /// An empty table, and the nudges its entries will send.
    pub fn new(config: &Config, clock: Clock) -> (Arc<Self>, Nudges) {
        let (nudger, nudges) = nudges();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let shared = Arc::new(Shared {
            clock,
            nudger,
            pool: PoolSettings {
                threads: config.threads,
                idle: config.idle_connections,
                idle_timeout: config.idle_timeout,
                connect_timeout: config.connect_timeout,
            },
            room_size: config.room_size,
            wake_timeout: config.wake_timeout,
            drain_limit: config.drain_limit,
            quarantine: config.quarantine,
            shards: threads.next_power_of_two().min(MOST_SHARDS),
        });
        let table = Self {
            entries: HashMap::new(),
            shared,
            writing: Mutex::default(),
            synced: AtomicBool::new(false),
        };
        (Arc::new(table), nudges)
    }

    /// The entry of a deployed function.
    pub fn get(&self, function: &FunctionId) -> Option<Arc<Entry>> {
        self.lookup(function.as_str())
    }

    /// The entry of `name` or `name.namespace`, as written in a path.
    pub fn lookup(&self, name: &str) -> Option<Arc<Entry>> {
        self.entries.pin().get(name).cloned()
    }

    /// Takes in what the provider reports of a function, which may be new. One that was deleted and
    /// deployed again is new as well: whoever waits for the earlier one is told that it is gone.
    pub fn upsert(&self, status: &FunctionStatus) -> Arc<Entry> {
        let _writing = self.write();
        self.put(status)
    }

    fn put(&self, status: &FunctionStatus) -> Arc<Entry> {
        let function = status.function();
        match self.get(function) {
            Some(entry) if is_same(&entry, status) => {
                entry.update(status);
                return entry;
            }
            Some(earlier) => earlier.close(),
            None => {}
        }
        let entry = Entry::new(Arc::clone(&self.shared), status);
        let entries = self.entries.pin();
        entries.insert(function.as_str().into(), Arc::clone(&entry));
        if function.namespace() == DEFAULT_NAMESPACE {
            entries.insert(function.name().into(), Arc::clone(&entry));
        }
        entry
    }

    /// Takes in what was asked of the provider, if that is news: of a function or revision known already
    /// the watch tells, and it may have told something later.
    pub fn learn(&self, status: &FunctionStatus) {
        let _writing = self.write();
        let known = self.get(status.function());
        let news = |entry: &Arc<Entry>| {
            !is_same(entry, status) || entry.status().revision < status.revision
        };
        if known.as_ref().is_none_or(news) {
            self.put(status);
        }
    }

    /// Forgets a function; whoever waits for it is told.
    pub fn remove(&self, function: &FunctionId) -> Option<Arc<Entry>> {
        let _writing = self.write();
        self.take_out(&self.get(function)?)
    }

    /// Forgets this one; a function of its name that was deployed later stays.
    pub fn remove_entry(&self, entry: &Arc<Entry>) -> Option<Arc<Entry>> {
        let _writing = self.write();
        let current = self.get(entry.id()).filter(|current| Arc::ptr_eq(current, entry))?;
        self.take_out(&current)
    }

    fn take_out(&self, entry: &Arc<Entry>) -> Option<Arc<Entry>> {
        let function = entry.id();
        let entries = self.entries.pin();
        if function.namespace() == DEFAULT_NAMESPACE {
            entries.remove(function.name());
        }
        let entry = entries.remove(function.as_str()).cloned()?;
        entry.close();
        Some(entry)
    }

    fn write(&self) -> MutexGuard<'_, ()> {
        // It guards an order, no data.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many functions are deployed.
    pub fn len(&self) -> usize {
        let mut count = 0;
        self.for_each(|_| count += 1);
        count
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Calls `each` with every entry, in no order.
    pub fn for_each(&self, mut each: impl FnMut(&Arc<Entry>)) {
        let entries = self.entries.pin();
        for (key, entry) in &entries {
            // The bare names are second keys.
            if **key == *entry.id().as_str() {
                each(entry);
            }
        }
    }

    /// Every entry, in order of the names.
    pub fn entries(&self) -> Vec<Arc<Entry>> {
        let mut all = Vec::with_capacity(self.entries.len());
        self.for_each(|entry| all.push(Arc::clone(entry)));
        all.sort_by(|one, other| one.id().cmp(other.id()));
        all
    }

    /// All that is deployed has been told: from now on an unknown name is 404, not 503.
    pub fn set_synced(&self) {
        self.synced.store(true, Ordering::Release);
    }

    /// Whether [`Table::set_synced`] was called.
    pub fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }

    /// Closes idle connections and forgets idle clients.
    pub(crate) fn sweep(&self, now: Moment) {
        self.for_each(|entry| entry.sweep(now));
    }
}

/// Whether this is told of the function that the entry is of, not of one deployed after it.
fn is_same(entry: &Entry, status: &FunctionStatus) -> bool {
    entry.status().created == status.created
}
