//! Requests for pools of addresses that all nodes made, as their own sessions count them.

use std::sync::Arc;

use plexus_agent::cluster::Calls;

/// The kinds that allocation is about; what a session asks beside them (its watches) is not counted.
const RESOURCES: [&str; 3] = ["ippools", "overlappingrangeipreservations", "nodeslicepools"];

/// The sessions' counters.
pub(super) struct Requests(pub(super) Vec<Arc<Calls>>);

/// Requests so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// All of them.
    pub(super) all: u64,
    /// Those that lost a race (409, or 422 of a tested patch).
    pub(super) conflicts: u64,
}

impl Requests {
    /// All requests so far.
    pub(super) fn seen(&self) -> Seen {
        let mut seen = Seen::default();
        for (call, count) in self.0.iter().flat_map(|calls| calls.all()) {
            if RESOURCES.iter().any(|resource| call.resource.starts_with(resource)) {
                seen.all += count;
                if matches!(call.code, 409 | 422) {
                    seen.conflicts += count;
                }
            }
        }
        seen
    }
}

impl Seen {
    /// What came on top of `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self { all: self.all - earlier.all, conflicts: self.conflicts - earlier.conflicts }
    }

    /// Sums up.
    pub(super) fn add(&mut self, more: Self) {
        self.all += more.all;
        self.conflicts += more.conflicts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_for_pools_are_counted() {
        let calls = Arc::new(Calls::default());
        for (resource, code) in
            [("ippools", 200), ("ippools", 409), ("pods", 200), ("nodeslicepools/status", 422)]
        {
            calls.count("patch", resource, code);
        }
        let requests = Requests(vec![calls]);
        assert_eq!(requests.seen(), Seen { all: 3, conflicts: 2 });
        assert_eq!(requests.seen().since(Seen { all: 1, conflicts: 1 }), Seen { all: 2, conflicts: 1 });
    }
}
