//! What happened to leases, for the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the start, and gauges.
#[derive(Debug, Default)]
pub struct Counts {
    /// Leases that were given anew.
    pub acquired: AtomicU64,
    /// Leases that were extended.
    pub renewed: AtomicU64,
    /// Refusals of servers.
    pub refused: AtomicU64,
    /// Addresses that somebody else used.
    pub declined: AtomicU64,
    /// Leases that ended without an answer.
    pub expired: AtomicU64,
    /// Interfaces whose address became another one.
    pub changed: AtomicU64,
    /// Leases that were given back.
    pub released: AtomicU64,
}

impl Counts {
    /// Event and number.
    pub fn rows(&self) -> [(&'static str, u64); 7] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("acquired", read(&self.acquired)),
            ("renewed", read(&self.renewed)),
            ("refused", read(&self.refused)),
            ("declined", read(&self.declined)),
            ("expired", read(&self.expired)),
            ("changed", read(&self.changed)),
            ("released", read(&self.released)),
        ]
    }
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
