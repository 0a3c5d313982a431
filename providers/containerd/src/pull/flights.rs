//! One flight per digest: who wants what somebody else is fetching waits for that one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Blobs that are being fetched.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<HashMap<String, Weak<AsyncMutex<()>>>>);

impl Flights {
    /// Waits until nobody else fetches this; others then wait for the guard.
    pub(crate) async fn enter(&self, digest: &str) -> OwnedMutexGuard<()> {
        self.of(digest).lock_owned().await
    }

    fn of(&self, digest: &str) -> Arc<AsyncMutex<()>> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(digest).and_then(Weak::upgrade) {
            return flight;
        }
        flights.retain(|_, flight| flight.strong_count() > 0);
        let flight = Arc::<AsyncMutex<()>>::default();
        flights.insert(digest.to_owned(), Arc::downgrade(&flight));
        flight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_one_waits_and_others_do_not() {
        let flights = Flights::default();
        let first = flights.enter("a").await;
        assert!(flights.of("a").try_lock().is_err());
        drop(flights.enter("b").await);
        drop(first);
        drop(flights.enter("a").await);
        let _last = flights.enter("c").await;
        assert_eq!(flights.0.lock().expect("ours").len(), 1, "flights that landed are forgotten");
    }
}
