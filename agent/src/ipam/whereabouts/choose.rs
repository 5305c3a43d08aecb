//! Which address of a range is given next.

use std::collections::{BTreeMap, BTreeSet};

use super::range::Range;
use crate::cluster::Allocation;

/// The lowest offset that the range gives and nobody has, as the original chooses; `skip` free ones before it are left
/// to others who choose at the same time; with fewer free ones it is counted round.
pub fn lowest_free(
    range: &Range,
    taken: &BTreeMap<u128, Allocation>,
    avoid: &BTreeSet<u128>,
    skip: usize,
) -> Option<u128> {
    let mut left = skip;
    let mut held = taken.range(range.first..).map(|(offset, _)| *offset).peekable();
    let mut at = range.first;
    while at <= range.last {
        if let Some(end) = range.exclude_end(at) {
            at = end.checked_add(1)?;
            continue;
        }
        while held.next_if(|offset| *offset < at).is_some() {}
        if held.peek() != Some(&at) && !avoid.contains(&at) {
            match left.checked_sub(1) {
                Some(fewer) => left = fewer,
                None => return Some(at),
            }
        }
        at += 1;
    }
    let around = skip.checked_rem(skip - left)?;
    lowest_free(range, taken, avoid, around)
}

/// What this pod's interface holds of the range, apart from `used`.
pub fn own(
    range: &Range,
    taken: &BTreeMap<u128, Allocation>,
    holder: &Allocation,
    used: &BTreeSet<u128>,
) -> Option<u128> {
    let is_own = |held: &Allocation| held.podref == holder.podref && held.ifname == holder.ifname;
    let mut owned = taken.iter().filter(|(offset, held)| is_own(held) && !used.contains(offset));
    owned.find(|(offset, _)| range.gives(**offset)).map(|(offset, _)| *offset)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::range::RangeText;
    use super::*;

    fn range(text: &str, exclude: &[&str]) -> Range {
        let exclude = exclude.iter().map(|item| (*item).to_owned()).collect();
        Range::new(&RangeText { range: text.into(), exclude, ..RangeText::default() }, "r").unwrap()
    }

    fn taken(offsets: &[u128]) -> BTreeMap<u128, Allocation> {
        offsets.iter().map(|offset| (*offset, Allocation::default())).collect()
    }

    #[test]
    fn the_lowest_free_address_is_given_and_excludes_are_jumped_over() {
        let range = range("10.0.0.0/28", &["10.0.0.4/30"]);
        let avoid = BTreeSet::from([8]);
        assert_eq!(lowest_free(&range, &taken(&[0, 1, 2, 3]), &avoid, 0), Some(9));
        assert_eq!(lowest_free(&range, &taken(&[1, 3]), &avoid, 0), Some(2));
        assert_eq!(lowest_free(&range, &taken(&[1, 3]), &avoid, 1), Some(9));
        assert_eq!(lowest_free(&range, &taken(&[1, 3]), &avoid, 6), Some(14));
        assert_eq!(lowest_free(&range, &taken(&[1, 3]), &avoid, 7), Some(2), "counted round");
        let all: Vec<u128> = (0..16).collect();
        assert_eq!(lowest_free(&range, &taken(&all), &avoid, 0), None);
    }

    #[test]
    fn a_large_range_is_walked_no_further_than_needed() {
        let range = range("fd00::/48", &["fd00::/112"]);
        assert_eq!(lowest_free(&range, &taken(&[0x10000]), &BTreeSet::new(), 0), Some(0x10001));
    }

    #[test]
    fn what_the_pods_interface_holds_already_is_found() {
        let range = range("10.0.0.0/28", &[]);
        let holder = Allocation { id: "new".into(), podref: "n/p".into(), ifname: "net1".into() };
        let old = Allocation { id: "old".into(), ..holder.clone() };
        let other = Allocation { ifname: "net2".into(), ..holder.clone() };
        let taken = BTreeMap::from([(3, other), (5, old.clone()), (15, old)]);
        assert_eq!(own(&range, &taken, &holder, &BTreeSet::new()), Some(5));
        assert_eq!(own(&range, &taken, &holder, &BTreeSet::from([5])), None);
    }

    proptest! {
        #[test]
        fn what_is_chosen_is_free_and_the_lowest(
            held in prop::collection::btree_set(0_u128..64, 0..64), avoid in prop::collection::btree_set(0_u128..64, 0..9),
            exclude in (0_u8..64, 27_u8..=32), skip in 0_usize..4,
        ) {
            let range = range("10.0.0.0/26", &[&format!("10.0.0.{}/{}", exclude.0, exclude.1)]);
            let held: Vec<u128> = held.into_iter().collect();
            let free: Vec<u128> =
                (0..64).filter(|at| range.gives(*at) && !held.contains(at) && !avoid.contains(at)).collect();
            let expected = skip.checked_rem(free.len()).map(|at| free[at]);
            prop_assert_eq!(lowest_free(&range, &taken(&held), &avoid, skip), expected);
        }
    }
}
