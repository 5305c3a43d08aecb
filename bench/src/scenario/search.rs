//! The highest rate without loss (RFC 2544, section 26.1): a search by halves. No packets here.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// Most trials of one search.
const TRIALS_MAX: u32 = 64;
/// A generator that made less than this part of what was asked for is what limits.
const OFFERED_ENOUGH: f64 = 0.98;

/// How to search.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchPlan {
    /// A trial that lost no more passes. RFC 2544: 0.
    pub(crate) loss_percent: f64,
    /// The lowest rate that is of interest, in frames per second.
    pub(crate) min_pps: f64,
    /// The highest rate that is tried, and the first one.
    pub(crate) max_pps: f64,
    /// The search ends when it knows the rate this well.
    pub(crate) resolution_percent: f64,
    /// Of each trial. RFC 2544: at least 60 s for the final one.
    pub(crate) trial_s: f64,
}

impl SearchPlan {
    /// Whether every value makes sense.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(
            (0.0..100.0).contains(&self.loss_percent),
            "search.loss_percent is {}; 0 to below 100 is wanted",
            self.loss_percent
        );
        ensure!(
            self.min_pps >= 1.0 && self.min_pps < self.max_pps && self.max_pps <= 1e9,
            "search.min_pps is {} and max_pps {}; 1 ≤ min < max ≤ 1e9 is wanted",
            self.min_pps,
            self.max_pps
        );
        ensure!(
            (0.01..=50.0).contains(&self.resolution_percent),
            "search.resolution_percent is {}; 0.01 to 50 is wanted",
            self.resolution_percent
        );
        ensure!(
            (0.05..=3600.0).contains(&self.trial_s),
            "search.trial_s is {}; 0.05 to 3600 seconds are wanted",
            self.trial_s
        );
        Ok(())
    }
}

/// What a search found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Found {
    /// Frames per second that passed; nothing if not even the lowest rate did.
    pub(crate) pps: Option<f64>,
    /// The generator could make no more, so the rate is one of the generator, not of what is between.
    pub(crate) is_generators_limit: bool,
    /// Trials that it took.
    pub(crate) trials: u32,
}

/// A search under way.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    plan: SearchPlan,
    /// The highest rate that passed.
    passed: Option<f64>,
    /// The lowest rate that failed.
    failed: Option<f64>,
    is_generators_limit: bool,
    trials: u32,
}

impl Search {
    pub(crate) fn new(plan: SearchPlan) -> Self {
        Self { plan, passed: None, failed: None, is_generators_limit: false, trials: 0 }
    }

    /// The rate to try now; nothing when the search is over.
    pub(crate) fn next(&self) -> Option<f64> {
        if self.is_generators_limit || self.trials >= TRIALS_MAX {
            return None;
        }
        match (self.passed, self.failed) {
            (_, None) if self.passed.is_none_or(|passed| passed < self.plan.max_pps) => {
                Some(self.plan.max_pps)
            }
            (_, None) => None,
            (None, Some(failed)) if failed <= self.plan.min_pps => None,
            (Some(passed), Some(failed))
                if failed - passed <= passed * self.plan.resolution_percent / 100.0 =>
            {
                None
            }
            (passed, Some(failed)) => {
                let low = passed.unwrap_or(self.plan.min_pps);
                // The lowest rate itself is tried once nothing else is left above it.
                let is_near = failed - low <= low * self.plan.resolution_percent / 100.0;
                Some(if is_near { low } else { low.midpoint(failed) })
            }
        }
    }

    /// What a trial at the rate [`Self::next`] gave: what was really sent, in frames per second, and how much was lost.
    pub(crate) fn tell(&mut self, asked_pps: f64, offered_pps: f64, loss_percent: f64) {
        self.trials += 1;
        if loss_percent > self.plan.loss_percent {
            self.failed = Some(self.failed.map_or(asked_pps, |failed| failed.min(asked_pps)));
        } else if offered_pps < asked_pps * OFFERED_ENOUGH {
            self.passed = Some(self.passed.unwrap_or_default().max(offered_pps));
            self.is_generators_limit = true;
        } else {
            self.passed = Some(self.passed.unwrap_or_default().max(asked_pps));
        }
    }

    /// The outcome so far.
    pub(crate) fn found(&self) -> Found {
        Found { pps: self.passed, is_generators_limit: self.is_generators_limit, trials: self.trials }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAN: SearchPlan = SearchPlan {
        loss_percent: 0.0,
        min_pps: 1_000.0,
        max_pps: 1e6,
        resolution_percent: 1.0,
        trial_s: 1.0,
    };

    /// Searches where a link carries `capacity` and a generator makes at most `generator`, in frames per second.
    fn search(plan: SearchPlan, capacity: f64, generator: f64) -> Found {
        let mut search = Search::new(plan);
        while let Some(asked) = search.next() {
            let offered = asked.min(generator);
            let loss = if offered > capacity { 100.0 * (offered - capacity) / offered } else { 0.0 };
            search.tell(asked, offered, loss);
        }
        search.found()
    }

    #[test]
    fn a_link_that_carries_everything_needs_one_trial() {
        let found = search(PLAN, 2e6, 1e9);
        assert_eq!(found, Found { pps: Some(1e6), is_generators_limit: false, trials: 1 });
    }

    #[test]
    fn a_link_that_carries_less_than_the_lowest_rate_has_no_throughput() {
        let found = search(PLAN, 10.0, 1e9);
        assert_eq!(found.pps, None);
        assert!(found.trials < TRIALS_MAX);
    }

    #[test]
    fn a_generator_that_cannot_is_told_apart_from_the_link() {
        let found = search(PLAN, 2e6, 3e5);
        assert_eq!(found, Found { pps: Some(3e5), is_generators_limit: true, trials: 1 });
    }

    #[test]
    fn plans_that_make_no_sense_are_refused() {
        assert!(PLAN.check().is_ok());
        for plan in [
            SearchPlan { loss_percent: 100.0, ..PLAN },
            SearchPlan { min_pps: 2e6, ..PLAN },
            SearchPlan { resolution_percent: 0.0, ..PLAN },
            SearchPlan { trial_s: 0.0, ..PLAN },
            SearchPlan { max_pps: f64::NAN, ..PLAN },
        ] {
            assert!(plan.check().is_err(), "{plan:?}");
        }
    }

    proptest! {
        #[test]
        fn the_rate_found_passes_and_is_as_near_as_was_asked(
            capacity in 1_000.0..2e6_f64,
            resolution_percent in 0.1..20.0_f64,
        ) {
            let plan = SearchPlan { resolution_percent, ..PLAN };
            let found = search(plan, capacity, 1e9);
            let pps = found.pps.unwrap();
            prop_assert!(pps <= capacity, "{pps} was lost over {capacity}");
            prop_assert!(pps == PLAN.max_pps || capacity <= pps * (1.0 + resolution_percent / 100.0) * (1.0 + 1e-9));
            prop_assert!(found.trials < TRIALS_MAX);
        }

        #[test]
        fn every_search_ends_whatever_the_trials_say(outcomes in prop::collection::vec((0.0..2e6_f64, 0.0..2.0_f64), 64)) {
            let mut search = Search::new(PLAN);
            let mut outcomes = outcomes.into_iter().cycle();
            let mut trials = 0;
            while let Some(asked) = search.next() {
                prop_assert!((PLAN.min_pps..=PLAN.max_pps).contains(&asked), "{asked}");
                let (offered, loss) = outcomes.next().unwrap();
                search.tell(asked, offered.min(asked), loss - 1.0);
                trials += 1;
                prop_assert!(trials <= TRIALS_MAX);
            }
        }
    }
}
