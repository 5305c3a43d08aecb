//! How long to wait before a lost race or a failed call is tried again.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// The first wait after a lost race; others were quicker, so the server answers.
const RACE_FIRST: Duration = Duration::from_millis(4);
/// The longest wait after lost races.
const RACE_LONGEST: Duration = Duration::from_millis(400);
/// The first wait after a call that failed.
const FAILURE_FIRST: Duration = Duration::from_millis(50);
/// The longest wait after failed calls.
const FAILURE_LONGEST: Duration = Duration::from_secs(2);

/// Waits that double, each a random part between a quarter and the whole.
#[derive(Debug, Default)]
pub struct Backoff {
    races: u32,
    failures: u32,
    rolls: u64,
    random: RandomState,
}

impl Backoff {
    /// The wait after a lost race.
    pub fn after_race(&mut self) -> Duration {
        self.races = self.races.saturating_add(1);
        self.part(doubled(RACE_FIRST, self.races, RACE_LONGEST))
    }

    /// The wait after a call that failed.
    pub fn after_failure(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.part(doubled(FAILURE_FIRST, self.failures, FAILURE_LONGEST))
    }

    /// How many calls failed since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// What was tried has worked.
    pub fn reset(&mut self) {
        (self.races, self.failures) = (0, 0);
    }

    /// A number below `bound`, or 0.
    pub fn chance(&mut self, bound: u64) -> u64 {
        self.rolls = self.rolls.wrapping_add(1);
        // The hasher's keys are random for each one that is made, which is all the chance that is needed here.
        self.random.hash_one(self.rolls) % bound.max(1)
    }

    fn part(&mut self, whole: Duration) -> Duration {
        let percent = u32::try_from(25 + self.chance(76)).unwrap_or(100);
        whole * percent / 100
    }
}

fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << times.saturating_sub(1).min(16)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_start_over() {
        let mut backoff = Backoff::default();
        for round in 0..20 {
            assert!(backoff.after_race() <= doubled(RACE_FIRST, round + 1, RACE_LONGEST));
            assert!((FAILURE_FIRST / 4..=FAILURE_LONGEST).contains(&backoff.after_failure()));
        }
        assert_eq!(backoff.races, 20);
        backoff.reset();
        assert!(backoff.after_race() <= RACE_FIRST);
    }
}
