//! The pools of the API server.

use std::collections::BTreeMap;

use super::conflicts::conflicts;
use super::pool::{Holder, Kind, Owner, Pool, Slices};
use crate::cluster::{IpPool, Reservation, SlicePool};
use crate::ipam::whereabouts::names;
use crate::ipam::whereabouts::range::{Range, RangeText};

/// All of them, IPPools first.
pub(super) fn pools(pools: &[IpPool], reservations: &[Reservation], slice_pools: &[SlicePool]) -> Vec<Pool> {
    let mut conflicts = conflicts(pools, reservations);
    let shared = pools.iter().map(|pool| {
        let range = range(&pool.range);
        let holders = pool.allocations.iter().map(|(offset, allocation)| Holder {
            address: address(range.as_ref(), *offset),
            pod: text(&allocation.podref),
            interface: text(&allocation.ifname),
            container_id: text(&allocation.id),
            node: None,
        });
        Pool {
            kind: Kind::Whereabouts,
            name: pool.name.clone(),
            network: network(&pool.name, &pool.range),
            range: Some(pool.range.clone()),
            size: range.as_ref().map(size),
            used: Some(pool.allocations.len() as u64),
            slices: None,
            holders: Some(holders.collect()),
            conflicts: conflicts.remove(&pool.name).unwrap_or_default(),
        }
    });
    let shared: Vec<_> = shared.collect();
    shared.into_iter().chain(slice_pools.iter().map(sliced)).collect()
}

fn sliced(pool: &SlicePool) -> Pool {
    let taken: Vec<_> = pool.slices.iter().filter(|slice| !slice.node.is_empty()).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for slice in &taken {
        *counts.entry(&slice.node).or_default() += 1;
    }
    let mut nodes: Vec<_> =
        counts.into_iter().map(|(node, slices)| Owner { node: node.to_owned(), slices }).collect();
    nodes.sort_by_key(|owner| std::cmp::Reverse(owner.slices));
    let holders = taken.iter().map(|slice| Holder {
        address: slice.range.clone(),
        pod: None,
        interface: None,
        container_id: None,
        node: text(&slice.node),
    });
    Pool {
        kind: Kind::Slices,
        name: pool.name.clone(),
        network: None,
        range: Some(pool.range.clone()),
        size: range(&pool.range).as_ref().map(size),
        used: None,
        holders: Some(holders.collect()),
        slices: Some(Slices { total: pool.slices.len(), taken: taken.len(), nodes }),
        conflicts: Vec::new(),
    }
}

/// The range of an IPPool, which counts from its network's first address.
pub(super) fn range(cidr: &str) -> Option<Range> {
    Range::new(&RangeText { range: cidr.to_owned(), ..RangeText::default() }, "range").ok()
}

/// `network_name` of the config that made the pool, where there was one.
pub(super) fn network(pool: &str, range: &str) -> Option<String> {
    let network = pool.strip_suffix(&names::pool("", range))?.strip_suffix('-')?;
    text(network)
}

fn address(range: Option<&Range>, offset: u128) -> String {
    let address = range.and_then(|range| range.address(offset));
    address.map_or_else(|| format!("offset {offset}"), |address| address.to_string())
}

fn size(range: &Range) -> u64 {
    u64::try_from(range.capacity()).unwrap_or(u64::MAX)
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Allocation, Slice};

    #[test]
    fn pools_tell_their_network_use_and_holders() {
        let allocation = Allocation { id: "c".into(), podref: "n/p".into(), ifname: "net1".into() };
        let pool = IpPool {
            name: "blue-10.0.0.0-24".into(),
            range: "10.0.0.0/24".into(),
            allocations: [(5, allocation)].into(),
            ..IpPool::default()
        };
        let plain = IpPool { name: "fd00---64".into(), range: "fd00::/64".into(), ..IpPool::default() };
        let seen = pools(&[pool, plain], &[], &[]);
        assert_eq!(
            (seen[0].network.as_deref(), seen[0].size, seen[0].used),
            (Some("blue"), Some(254), Some(1))
        );
        assert_eq!(seen[0].holders.as_ref().unwrap()[0].address, "10.0.0.5");
        assert_eq!((seen[1].network.as_deref(), seen[1].used), (None, Some(0)));
        for name in ["blue", "blue-10.0.0.0-24", "10.0.0.0/24"] {
            assert!(seen[0].is_called(name) && !seen[1].is_called(name), "{name}");
        }
    }

    #[test]
    fn slices_are_counted_by_node_most_first() {
        let slice = |node: &str, last: u8| Slice { node: node.into(), range: format!("10.0.0.{last}/28") };
        let slices = vec![slice("a", 0), slice("b", 16), slice("", 32), slice("b", 48)];
        let pool =
            SlicePool { name: "s".into(), range: "10.0.0.0/26".into(), slices, ..SlicePool::default() };
        let seen = pools(&[], &[], &[pool]).remove(0);
        let slices = seen.slices.unwrap();
        assert_eq!((slices.total, slices.taken), (4, 3));
        assert_eq!(slices.nodes.iter().map(|owner| &*owner.node).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(seen.holders.unwrap().len(), 3);
    }
}
