//! Who looks after pods and nodes that are gone: the holder of a Lease. Pure.
//!
//! Times in the Lease are another node's clock. So nobody reads them: a Lease that has not changed for its whole
//! duration, by one's own clock, is free. Two leaders at once do no harm, as every change is a conditional one.

use std::time::{Duration, Instant};

/// What the Lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who holds it; empty for nobody.
    pub holder: String,
    /// Changes with each renewal.
    pub version: String,
}

/// What to do with the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is none: make it.
    Create,
    /// It is ours: renew it.
    Renew,
    /// Nobody renewed it for its duration, or it was given back: take it.
    Take,
    /// Somebody else leads.
    Follow,
}

/// One agent's memory of the Lease.
#[derive(Debug)]
pub struct Election {
    me: String,
    duration: Duration,
    seen: Option<(Claim, Instant)>,
}

impl Election {
    /// `me` is unique among the agents of a cluster.
    pub fn new(me: String, duration: Duration) -> Self {
        Self { me, duration, seen: None }
    }

    /// Looks at the Lease as it is now.
    pub fn step(&mut self, lease: Option<&Claim>, now: Instant) -> Step {
        let Some(claim) = lease else { return Step::Create };
        if claim.holder == self.me {
            return Step::Renew;
        }
        if claim.holder.is_empty() {
            return Step::Take;
        }
        match &self.seen {
            Some((seen, since)) if seen == claim => {
                if now.saturating_duration_since(*since) >= self.duration { Step::Take } else { Step::Follow }
            }
            _ => {
                self.seen = Some((claim.clone(), now));
                Step::Follow
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Duration = Duration::from_secs(100);

    fn claim(holder: &str, version: u32) -> Claim {
        Claim { holder: holder.into(), version: version.to_string() }
    }

    #[test]
    fn a_lease_is_taken_once_nobody_renewed_it_for_its_duration() {
        let (mut election, start) = (Election::new("me".into(), DURATION), Instant::now());
        assert_eq!(election.step(Some(&claim("you", 1)), start), Step::Follow);
        assert_eq!(election.step(Some(&claim("you", 2)), start + DURATION), Step::Follow);
        assert_eq!(election.step(Some(&claim("you", 2)), start + DURATION * 3 / 2), Step::Follow);
        assert_eq!(election.step(Some(&claim("you", 2)), start + DURATION * 2), Step::Take);
    }

    #[test]
    fn a_lease_of_nobody_is_free_and_ones_own_is_renewed() {
        let (mut election, now) = (Election::new("me".into(), DURATION), Instant::now());
        assert_eq!(election.step(None, now), Step::Create);
        assert_eq!(election.step(Some(&claim("", 7)), now), Step::Take);
        assert_eq!(election.step(Some(&claim("me", 7)), now), Step::Renew);
    }
}
