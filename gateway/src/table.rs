//! The function table: from the name in a path to the entry of a deployed function, without a lock.

use std::sync::Arc;

use papaya::HashMap;
use tidegate_core::FunctionId;
use tidegate_provider::FunctionStatus;

use crate::nudge::{Nudger, nudges};
use crate::{Clock, Config, Entry, Nudges};

/// All deployed functions.
#[derive(Debug)]
pub struct Table {
    entries: HashMap<Arc<str>, Arc<Entry>>,
    clock: Clock,
    nudger: Nudger,
}

impl Table {
    /// An empty table, and the nudges its entries will send.
    pub fn new(_config: &Config, clock: Clock) -> (Arc<Self>, Nudges) {
        let (nudger, nudges) = nudges();
        (Arc::new(Self { entries: HashMap::new(), clock, nudger }), nudges)
    }

    /// The entry of a deployed function.
    pub fn get(&self, function: &FunctionId) -> Option<Arc<Entry>> {
        self.lookup(function.as_str())
    }

    /// The entry of `name` or `name.namespace`, as written in a path.
    pub fn lookup(&self, name: &str) -> Option<Arc<Entry>> {
        self.entries.pin().get(name).cloned()
    }

    /// Takes in what the provider reports of a function, which may be new.
    pub fn upsert(&self, status: &FunctionStatus) -> Arc<Entry> {
        let _ = (&self.clock, &self.nudger);
        Entry::stub(status)
    }

    /// Forgets a function; whoever waits for it is told.
    pub fn remove(&self, function: &FunctionId) -> Option<Arc<Entry>> {
        self.entries.pin().remove(function.as_str()).cloned()
    }

    /// How many functions are deployed.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `each` with every entry, in no order.
    pub fn for_each(&self, mut each: impl FnMut(&Arc<Entry>)) {
        self.entries.pin().values().for_each(&mut each);
    }

    /// All that is deployed has been told: from now on an unknown name is 404, not 503.
    pub fn set_synced(&self) {}

    /// Whether [`Table::set_synced`] was called.
    pub fn is_synced(&self) -> bool {
        false
    }
}
