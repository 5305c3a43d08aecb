//! How long to wait before trying again: longer each time, and not all nodes at once.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// The first wait is at most this.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(30);

/// Waits that double, each a random part between one half and the whole.
#[derive(Default)]
pub(super) struct Backoff {
    failures: u32,
    rolls: u32,
    random: RandomState,
}

impl Backoff {
    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        whole / 2 + whole / 2 * self.chance(1000) / 1000
    }

    /// A number below `bound`.
    pub(super) fn chance(&mut self, bound: u32) -> u32 {
        self.rolls = self.rolls.wrapping_add(1);
        // The hasher's keys are random for each process, which is all the chance that is needed here.
        let dice = self.random.hash_one(self.rolls) % u64::from(bound.max(1));
        u32::try_from(dice).unwrap_or_default()
    }

    /// What was tried has worked.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_start_over() {
        let mut backoff = Backoff::default();
        for expected_ms in [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            let (wait, whole) = (backoff.next(), Duration::from_millis(expected_ms));
            assert!(wait >= whole / 2 && wait <= whole, "{wait:?} for {whole:?}");
        }
        for _ in 0..100 {
            assert!(backoff.next() <= LONGEST);
        }
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
