//! A bounded look at many things: suspects first, then on from where the last look ended.

use std::collections::BTreeSet;

/// At most `most` of `all`: those of `first`, then those behind `after`, then from the beginning.
pub(super) fn turn<'a>(
    all: &BTreeSet<&'a str>,
    first: &BTreeSet<&'a str>,
    after: Option<&str>,
    most: usize,
) -> Vec<&'a str> {
    let after = after.unwrap_or_default();
    let urgent = all.iter().filter(|name| first.contains(*name));
    let rest = || all.iter().filter(|name| !first.contains(*name));
    let behind = rest().filter(|name| **name > after);
    let before = rest().filter(|name| **name <= after);
    urgent.chain(behind).chain(before).copied().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_its_turn_and_suspects_do_not_wait() {
        let all = BTreeSet::from(["a", "b", "c", "d", "e"]);
        assert_eq!(turn(&all, &BTreeSet::new(), None, 2), ["a", "b"]);
        assert_eq!(turn(&all, &["d", "x"].into(), Some("b"), 3), ["d", "c", "e"]);
        assert_eq!(turn(&all, &BTreeSet::new(), Some("d"), 3), ["e", "a", "b"]);
        assert_eq!(turn(&all, &BTreeSet::new(), None, 9).len(), 5);
    }
}
