//! Two looks: what is found once is suspect, what is found again after a grace is due.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What was found, since when.
#[derive(Debug)]
pub(super) struct Suspects<T> {
    since: BTreeMap<T, Instant>,
}

impl<T> Default for Suspects<T> {
    fn default() -> Self {
        Self { since: BTreeMap::new() }
    }
}

impl<T: Ord + Clone> Suspects<T> {
    /// Takes what a look found of all that it looked at; returns what was found before too, at least `grace` ago.
    ///
    /// What `looked` does not hold for keeps its time: a bounded look does not see everything.
    pub(super) fn look(
        &mut self,
        found: impl IntoIterator<Item = T>,
        looked: impl Fn(&T) -> bool,
        now: Instant,
        grace: Duration,
    ) -> Vec<T> {
        let mut since = BTreeMap::new();
        let mut due = Vec::new();
        for thing in found {
            let first = self.since.remove(&thing);
            if first.is_some_and(|first| now.saturating_duration_since(first) >= grace) {
                due.push(thing.clone());
            }
            since.insert(thing, first.unwrap_or(now));
        }
        let unseen = std::mem::take(&mut self.since);
        since.extend(unseen.into_iter().filter(|(thing, _)| !looked(thing)));
        self.since = since;
        due
    }

    /// Those that wait for their second look.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.since.keys()
    }

    /// Forgets all: whoever looks on begins anew.
    pub(super) fn clear(&mut self) {
        self.since.clear();
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.since.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_mins(1);

    fn all(_: &&str) -> bool {
        true
    }

    #[test]
    fn only_what_is_found_again_after_the_grace_is_due() {
        let (mut suspects, start) = (Suspects::default(), Instant::now());
        assert!(suspects.look(["a", "b"], all, start, GRACE).is_empty());
        assert!(suspects.look(["a"], all, start + GRACE / 2, GRACE).is_empty());
        assert_eq!(suspects.look(["a", "b"], all, start + GRACE, GRACE), ["a"]);
        assert_eq!(suspects.len(), 2);
    }

    #[test]
    fn what_a_bounded_look_did_not_reach_keeps_its_time() {
        let (mut suspects, start) = (Suspects::default(), Instant::now());
        suspects.look(["a", "b"], all, start, GRACE);
        assert!(suspects.look([], |thing| *thing == "b", start + GRACE, GRACE).is_empty());
        assert_eq!(suspects.all().collect::<Vec<_>>(), [&"a"]);
        assert_eq!(suspects.look(["a"], all, start + GRACE, GRACE), ["a"]);
        suspects.clear();
        assert_eq!(suspects.len(), 0);
    }
}
