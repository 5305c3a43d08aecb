//! Chance that can be replayed: which free slice, and how long until the next try.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The longest first wait after a lost race; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(20);
/// The longest wait after lost races.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// The longest first wait after a request that was not served in time; it doubles with each further one.
const FIRST_CROWD_WAIT: Duration = Duration::from_secs(4);
/// The longest wait after those: hundreds of nodes that begin at once are spread over it, one every few tens of milliseconds.
const LONGEST_CROWD_WAIT: Duration = Duration::from_secs(16);

/// A sequence of numbers that follows from its seed.
#[derive(Debug)]
pub(super) struct Dice(Mutex<u64>);

impl Dice {
    /// The same seed gives the same numbers.
    pub(super) fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    /// Another seed in each process.
    pub(super) fn random() -> Self {
        Self::new(RandomState::new().hash_one(0))
    }

    /// A number below `bound`, 0 where that is 0.
    pub(super) fn below(&self, bound: usize) -> usize {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let below = mixed % (bound.max(1) as u64);
        usize::try_from(below).unwrap_or_default()
    }

    /// How long to wait after `failures` tries that were lost: between half of a bound that doubles, and all of it.
    pub(super) fn after_race(&self, failures: u32) -> Duration {
        let whole = FIRST_WAIT.saturating_mul(1 << failures.min(16)).min(LONGEST_WAIT);
        self.part_of(whole)
    }

    /// How long to wait after `failures` tries, the last of which the API server did not serve in time: anything up to a
    /// bound that doubles, so that those who came at once come back one by one.
    pub(super) fn after_crowd(&self, failures: u32) -> Duration {
        let whole = FIRST_CROWD_WAIT.saturating_mul(1 << failures.min(16)).min(LONGEST_CROWD_WAIT);
        self.up_to(whole)
    }

    /// Between half of `whole` and all of it.
    pub(super) fn part_of(&self, whole: Duration) -> Duration {
        whole / 2 + self.up_to(whole / 2)
    }

    /// Anything up to `whole`.
    pub(super) fn up_to(&self, whole: Duration) -> Duration {
        let thousandths = u32::try_from(self.below(1_000)).unwrap_or_default();
        whole / 1_000 * thousandths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_waits_are_bounded() {
        let (one, two) = (Dice::new(7), Dice::new(7));
        let rolled: Vec<usize> = (0..100).map(|_| one.below(10)).collect();
        assert_eq!(rolled, (0..100).map(|_| two.below(10)).collect::<Vec<_>>());
        assert!((0..10).all(|face| rolled.contains(&face)));
        for failures in 0..40 {
            let wait = one.after_race(failures);
            assert!(wait >= FIRST_WAIT / 2 && wait <= LONGEST_WAIT, "{wait:?}");
            let wait = one.after_crowd(failures);
            assert!(wait <= (FIRST_CROWD_WAIT * (1 << failures.min(2))).min(LONGEST_CROWD_WAIT), "{wait:?}");
        }
        assert_eq!(one.below(0), 0);
    }
}
