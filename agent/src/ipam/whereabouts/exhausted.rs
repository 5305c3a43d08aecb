//! What is said about a range without a free address.

use std::collections::BTreeMap;

use plexus_cni::{CniError, Code};

use super::range::Range;
use crate::cluster::{Allocation, IpPool};

/// How many of the largest holders a message names.
const HOLDERS_SHOWN: usize = 3;

/// The error for a full range: which, its use, and which namespaces hold most of it.
pub fn exhausted(range: &Range, pool: &IpPool, reserved_elsewhere: usize) -> CniError {
    let held: Vec<&Allocation> = pool
        .allocations
        .iter()
        .filter(|(offset, _)| range.gives(**offset))
        .map(|(_, holder)| holder)
        .collect();
    let mut others = String::new();
    if reserved_elsewhere > 0 {
        others = format!(", {reserved_elsewhere} are reserved by overlapping ranges or being taken now");
    }
    let what = format!(
        "no free address in range {range}: {} of {} addresses are held{others}",
        held.len(),
        range.capacity()
    );
    let why = match largest_holders(held.into_iter()).as_str() {
        "" => "enlarge the range, or exclude less of it".to_owned(),
        holders => {
            format!("most are held by {holders}; delete pods or enlarge the range (IPPool {})", pool.name)
        }
    };
    CniError::new(Code::RangeExhausted, what).because(why)
}

/// `namespace blue (120), namespace red (3)`
pub fn largest_holders<'a>(held: impl Iterator<Item = &'a Allocation>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for holder in held {
        let namespace = holder.podref.split('/').next().unwrap_or_default();
        *counts.entry(namespace).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(other.0)));
    let shown = counts.iter().take(HOLDERS_SHOWN).map(|(name, count)| format!("namespace {name} ({count})"));
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::range::RangeText;
    use super::*;

    #[test]
    fn the_message_names_range_use_and_largest_holders() {
        let range =
            Range::new(&RangeText { range: "10.0.0.0/29".into(), ..RangeText::default() }, "r").unwrap();
        let holder = |podref: &str| Allocation { podref: podref.into(), ..Allocation::default() };
        let podrefs = ["b/1", "a/1", "b/2", "c/1", "b/3", "d/1"];
        let allocations = podrefs.iter().enumerate().map(|(at, podref)| (at as u128 + 1, holder(podref)));
        let pool =
            IpPool { name: "10.0.0.0-29".into(), allocations: allocations.collect(), ..IpPool::default() };
        let error = exhausted(&range, &pool, 0);
        assert_eq!(error.code, Code::RangeExhausted);
        assert!(error.msg.contains("10.0.0.0/29") && error.msg.contains("6 of 6"), "{error}");
        assert!(error.details.contains("namespace b (3), namespace a (1), namespace c (1);"), "{error}");
    }
}
