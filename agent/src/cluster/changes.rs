//! That something in the cache changed, whatever it is: for those who look at everything again.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A count of changes that can be waited for.
#[derive(Default)]
pub struct Changes {
    count: Mutex<u64>,
    told: Condvar,
}

impl Changes {
    /// Something changed.
    pub fn tell(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.told.notify_all();
    }

    /// The count, as soon as it is not `seen` any more, and after `limit` in any case.
    pub fn wait(&self, seen: u64, limit: Duration) -> u64 {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.told.wait_timeout_while(count, limit, |count| *count == seen);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_before_the_wait_is_not_missed_and_no_change_ends_it() {
        let changes = Changes::default();
        changes.tell();
        assert_eq!(changes.wait(0, Duration::from_hours(1)), 1);
        assert_eq!(changes.wait(1, Duration::ZERO), 1);
    }
}
