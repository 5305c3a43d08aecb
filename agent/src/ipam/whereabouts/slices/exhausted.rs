//! What is said about a pool without a free slice.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use plexus_cni::{CniError, Code};

use super::book::Usage;
use super::pool::unavailable;
use super::spec::PoolSpec;
use crate::cluster::SlicePool;

/// How many nodes a message names.
const HOLDERS_SHOWN: usize = 3;

/// The error for a full pool: its range, its use, and the nodes with the most slices.
pub(super) fn exhausted(pool: &SlicePool, spec: &PoolSpec, node: &str, ours: Usage) -> CniError {
    let claimed = pool.slices.iter().filter(|slice| !slice.node.is_empty()).count();
    let what = format!(
        "no free address in range {}: this node holds {} of {} addresses in {} of its own slices, and {claimed} of {} slices of NodeSlicePool {} are claimed",
        spec.range,
        ours.used,
        ours.capacity,
        ours.slices,
        pool.slices.len(),
        pool.name,
    );
    let advice =
        "enlarge the range, make the slices smaller in a new network_name, or remove nodes that are gone";
    let holders = largest_holders(pool, node);
    CniError::new(Code::RangeExhausted, what).because(format!("largest holders: {holders}; {advice}"))
}

/// The error for a requested address in somebody else's slice.
pub(super) fn not_ours(pool: &SlicePool, address: IpAddr) -> CniError {
    let holds = |range: &str| range.parse::<IpNet>().is_ok_and(|range| range.contains(&address));
    match pool.slices.iter().find(|slice| holds(&slice.range)) {
        Some(slice) if !slice.node.is_empty() => {
            let why =
                format!("slice {} of NodeSlicePool {} is node {}'s", slice.range, pool.name, slice.node);
            unavailable(
                address,
                format!("{why}; run the pod there, or use a network without node_slice_size"),
            )
        }
        Some(slice) => unavailable(address, format!("no address of slice {} can be handed out", slice.range)),
        None => unavailable(address, format!("it lies in no slice of NodeSlicePool {}", pool.name)),
    }
}

/// The nodes with the most slices, most first.
fn largest_holders(pool: &SlicePool, this: &str) -> String {
    let mut slices: BTreeMap<&str, usize> = BTreeMap::new();
    for slice in pool.slices.iter().filter(|slice| !slice.node.is_empty()) {
        *slices.entry(&slice.node).or_default() += 1;
    }
    let mut holders: Vec<(&str, usize)> = slices.into_iter().collect();
    holders.sort_by_key(|(node, slices)| (std::cmp::Reverse(*slices), *node));
    let more = holders.len().saturating_sub(HOLDERS_SHOWN);
    let text = |(node, slices): &(&str, usize)| {
        let own = if *node == this { " (this one)" } else { "" };
        format!("node {node}{own} with {slices}")
    };
    let mut shown: Vec<String> = holders.iter().take(HOLDERS_SHOWN).map(text).collect();
    if more > 0 {
        shown.push(format!("{more} more nodes"));
    }
    if shown.is_empty() { "nobody".into() } else { shown.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::super::spec::tests::spec;
    use super::*;
    use crate::cluster::Slice;

    fn pool(nodes: &[&str]) -> SlicePool {
        let slice =
            |(at, node): (usize, &&str)| Slice { node: (*node).into(), range: format!("10.0.{at}.0/24") };
        SlicePool {
            name: "net".into(),
            range: "10.0.0.0/16".into(),
            slices: nodes.iter().enumerate().map(slice).collect(),
            ..SlicePool::default()
        }
    }

    #[test]
    fn a_full_pool_names_range_use_and_largest_holders() {
        let pool = pool(&["b", "a", "b", "c", "d", "b", "a"]);
        let ours = Usage { slices: 2, capacity: 512, used: 512 };
        let error = exhausted(&pool, &spec("10.0.0.0/16", "/24"), "a", ours);
        assert_eq!(error.code, Code::RangeExhausted);
        assert!(error.msg.contains("10.0.0.0/16") && error.msg.contains("512 of 512"), "{error}");
        assert!(error.msg.contains("7 of 7 slices"), "{error}");
        assert!(
            error.details.starts_with(
                "largest holders: node b with 3, node a (this one) with 2, node c with 1, 1 more nodes;"
            ),
            "{error}"
        );
    }

    #[test]
    fn a_requested_address_in_a_foreign_slice_names_its_node() {
        let pool = pool(&["b", ""]);
        let of = |address: &str| not_ours(&pool, address.parse().unwrap());
        assert!(of("10.0.0.9").details.contains("node b's"));
        assert!(of("10.0.1.0").details.contains("no address of slice 10.0.1.0/24"));
        assert!(of("10.9.0.9").details.contains("no slice"));
        assert_eq!(of("10.0.0.9").code, Code::AddressUnavailable);
    }
}
