//! What happened in fast mode since this process started.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts over all pools.
#[derive(Debug, Default)]
pub struct Counters {
    /// Addresses handed out.
    pub allocated: Counter,
    /// Addresses freed.
    pub freed: Counter,
    /// Calls that had to wait for a slice: those made requests.
    pub waited: Counter,
    /// Slices claimed.
    pub claimed: Counter,
    /// Claims that another node was faster with.
    pub conflicts: Counter,
    /// Slices given back.
    pub given_back: Counter,
    /// Slices that the API server says are not ours any more.
    pub lost: Counter,
    /// Calls that found no free address and no free slice.
    pub exhausted: Counter,
}
