//! How often the API server was called, and what it answered.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Calls by verb, resource and code.
#[derive(Default)]
pub struct Calls {
    counts: Mutex<BTreeMap<Call, u64>>,
}

/// What was called and how it ended. Verbs, resources and codes are few, so the table stays small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// `list`, `watch`, `get`, `patch` or `create`.
    pub verb: &'static str,
    /// The resource's plural, with its subresource.
    pub resource: &'static str,
    /// The HTTP status, 0 where none came.
    pub code: u16,
}

impl Calls {
    /// Counts one call.
    pub fn count(&self, verb: &'static str, resource: &'static str, code: u16) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(Call { verb, resource, code }).or_default() += 1;
    }

    /// All counts so far.
    pub fn all(&self) -> Vec<(Call, u64)> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(call, count)| (*call, *count)).collect()
    }
}
