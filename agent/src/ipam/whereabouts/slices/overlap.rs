//! What others hold inside of a slice: pools whose ranges overlap, and their reservations.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::span::Span;
use super::spec::PoolSpec;
use crate::cluster::{IpPool, Reservation, SlicePool};
use crate::ipam::whereabouts::names;
use crate::ipam::whereabouts::range::{Range, RangeText};

/// Everything that others may hold, read after a slice was claimed: whoever comes later sees the claim.
#[derive(Debug, Default)]
pub(super) struct Others {
    pub(super) pools: Vec<IpPool>,
    pub(super) reservations: Vec<Reservation>,
    pub(super) slice_pools: Vec<SlicePool>,
}

/// What they hold of one slice.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Overlap {
    /// Single addresses, as spans.
    pub(super) addresses: Vec<Span>,
    /// Slices of other pools that a node has claimed.
    pub(super) slices: Vec<Span>,
}

impl Others {
    /// What is held in `slice` by pools that share addresses with `spec`. `node` is this one.
    ///
    /// Only pools of the same `network_name` share addresses. An object's name does not always tell which that is: then
    /// it counts, which costs addresses and never gives one twice.
    pub(super) fn inside(&self, spec: &PoolSpec, slice: Span, node: &str) -> Overlap {
        let mut addresses = BTreeSet::new();
        let nodes: BTreeSet<&str> = self
            .slice_pools
            .iter()
            .flat_map(|pool| pool.slices.iter().map(|slice| &*slice.node))
            .chain([node])
            .filter(|node| !node.is_empty())
            .collect();
        for pool in self.pools.iter().filter(|pool| is_related(pool, &spec.network_name, &nodes)) {
            let text = RangeText { range: pool.range.clone(), ..RangeText::default() };
            // A pool that cannot be read can neither be allocated from.
            let Ok(range) = Range::new(&text, "range") else { continue };
            if Span::of_net(range.network).meet(slice).is_none() {
                continue;
            }
            let held = pool.allocations.keys().filter_map(|offset| range.address(*offset));
            addresses.extend(held.filter(|address| slice.contains(*address)));
        }
        let reserved = self.reservations.iter();
        let reserved =
            reserved.filter_map(|reservation| reserved_address(&reservation.name, &spec.network_name));
        addresses.extend(reserved.filter(|address| slice.contains(*address)));
        let claimed = self
            .slice_pools
            .iter()
            .filter(|pool| pool.name != spec.name && shares_addresses(&pool.name, &spec.network_name))
            .flat_map(|pool| &pool.slices)
            .filter(|claimed| !claimed.node.is_empty())
            .filter_map(|claimed| Span::of_net(claimed.range.parse().ok()?).meet(slice));
        Overlap { addresses: gathered(&addresses), slices: claimed.collect() }
    }
}

impl Others {
    /// Whether there is an IPPool in which agents allocate addresses of this slice one by one.
    pub(super) fn has_pool_over(&self, spec: &PoolSpec, slice: Span) -> bool {
        let classic = |pool: &&IpPool| pool.name == names::pool(&spec.network_name, &pool.range);
        let range = |pool: &IpPool| Some(Span::of_net(pool.range.parse().ok()?));
        self.pools.iter().filter(classic).filter_map(range).any(|range| range.meet(slice).is_some())
    }
}

/// Whether an IPPool belongs to the network of this name: its own, or the original's for one node's slice.
fn is_related(pool: &IpPool, network_name: &str, nodes: &BTreeSet<&str>) -> bool {
    let own = names::pool(network_name, &pool.range);
    pool.name == own
        || nodes.iter().any(|node| pool.name == names::node_pool(network_name, node, &pool.range))
}

/// Whether a NodeSlicePool may be of the network of this name. Those of unnamed networks have the CNI network's name.
fn shares_addresses(pool: &str, network_name: &str) -> bool {
    let rest = pool.strip_prefix(network_name);
    network_name.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// The address that a reservation of this name stands for, if it is one of the network of this name.
fn reserved_address(name: &str, network_name: &str) -> Option<IpAddr> {
    let text =
        if network_name.is_empty() { name } else { name.strip_prefix(network_name)?.strip_prefix('-')? };
    text.parse().ok().or_else(|| text.replace('-', ":").parse().ok())
}

/// Neighbouring addresses as one span.
fn gathered(addresses: &BTreeSet<IpAddr>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for address in addresses {
        let span = Span::of(*address);
        match spans.last_mut() {
            Some(last) if last.is_next_to(span) => *last = last.joined(span),
            _ => spans.push(span),
        }
    }
    spans
}

/// The slices of these pools that nodes have claimed, for an allocation from a range that overlaps them: every address
/// in them is some node's.
pub fn claimed(pools: &[SlicePool], network_name: &str) -> Vec<IpNet> {
    pools
        .iter()
        .filter(|pool| shares_addresses(&pool.name, network_name))
        .flat_map(|pool| &pool.slices)
        .filter(|slice| !slice.node.is_empty())
        .filter_map(|slice| slice.range.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::spec::tests::spec;
    use super::*;
    use crate::cluster::{Allocation, Slice};

    fn pool(name: &str, range: &str, offsets: &[u128]) -> IpPool {
        let held = Allocation { id: "c".into(), podref: "default/p".into(), ifname: "net1".into() };
        let allocations: BTreeMap<u128, Allocation> = offsets.iter().map(|at| (*at, held.clone())).collect();
        IpPool { name: name.into(), resource_version: "1".into(), range: range.into(), allocations }
    }

    fn reservation(name: &str) -> Reservation {
        Reservation {
            name: name.into(),
            container_id: "c".into(),
            podref: "default/p".into(),
            ifname: "net1".into(),
            resource_version: "1".into(),
        }
    }

    fn slice_pool(name: &str, slices: &[(&str, &str)]) -> SlicePool {
        let slice = |(range, node): &(&str, &str)| Slice { node: (*node).into(), range: (*range).into() };
        SlicePool {
            name: name.into(),
            resource_version: "1".into(),
            range: "10.0.0.0/8".into(),
            slice_size: "/24".into(),
            slices: slices.iter().map(slice).collect(),
        }
    }

    fn inside(spec: &PoolSpec, slice: &str, others: &Others) -> Vec<String> {
        let overlap = others.inside(spec, Span::of_net(slice.parse().unwrap()), "node-1");
        overlap.addresses.iter().chain(&overlap.slices).map(ToString::to_string).collect()
    }

    #[test]
    fn pools_and_reservations_of_the_same_network_name_count() {
        let others = Others {
            pools: vec![
                pool("10.0.0.0-16", "10.0.0.0/16", &[4, 257, 258, 259, 600]),
                pool("node-1-10.0.1.0-24", "10.0.1.0/24", &[9]),
                pool("node-2-10.0.1.0-24", "10.0.1.0/24", &[10]),
                pool("blue-10.0.0.0-16", "10.0.0.0/16", &[270]),
                pool("fd00---64", "fd00::/64", &[257]),
                pool("broken", "no range", &[1]),
            ],
            reservations: ["10.0.1.20", "blue-10.0.1.21", "fd00--101", "10.0.2.1"].map(reservation).to_vec(),
            slice_pools: vec![slice_pool("net", &[("10.0.1.0/24", "node-1"), ("10.0.2.0/24", "node-2")])],
        };
        let unnamed = spec("10.0.0.0/16", "/24");
        assert_eq!(
            inside(&unnamed, "10.0.1.0/24", &others),
            ["10.0.1.1-10.0.1.3", "10.0.1.9-10.0.1.10", "10.0.1.20-10.0.1.20"]
        );
        let blue = PoolSpec { network_name: "blue".into(), name: "blue".into(), ..unnamed };
        assert_eq!(inside(&blue, "10.0.1.0/24", &others), ["10.0.1.14-10.0.1.14", "10.0.1.21-10.0.1.21"]);
        let v6 = spec("fd00::/64", "/74");
        assert_eq!(inside(&v6, "fd00::/74", &others), ["fd00::101-fd00::101"]);
    }

    #[test]
    fn a_claimed_slice_of_another_pool_counts_and_a_free_one_does_not() {
        let slices = [("10.0.0.0/23", "node-1"), ("10.0.2.0/23", ""), ("nonsense", "node-1")];
        let others = Others { slice_pools: vec![slice_pool("other", &slices)], ..Others::default() };
        let unnamed = spec("10.0.0.0/16", "/24");
        assert_eq!(inside(&unnamed, "10.0.1.0/24", &others), ["10.0.1.0-10.0.1.255"]);
        assert!(inside(&unnamed, "10.0.2.0/24", &others).is_empty());
        let blue = PoolSpec { network_name: "blue".into(), name: "blue".into(), ..unnamed };
        assert!(inside(&blue, "10.0.1.0/24", &others).is_empty(), "independent networks");
        let found: Vec<String> = claimed(&others.slice_pools, "").iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.0/23"]);
        assert!(claimed(&others.slice_pools, "blue").is_empty());
    }
}
