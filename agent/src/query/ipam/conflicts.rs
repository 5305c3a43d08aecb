//! What contradicts among pools and reservations.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::cluster::{network, range};
use super::pool::Conflict;
use crate::cluster::{Allocation, IpPool, Reservation};
use crate::ipam::whereabouts::names;

/// Most contradictions shown of one pool.
const CONFLICTS_MAX: usize = 100;

/// Who holds an address, in the pool of a name.
type Held<'a> = (&'a str, &'a Allocation);

/// Contradictions by the pool's name:
/// - an address that two pools of one network gave to different holders;
/// - an address that is reserved for another pod than its pool says;
/// - a pod's interface with several addresses of one pool.
pub(super) fn conflicts(pools: &[IpPool], reservations: &[Reservation]) -> BTreeMap<String, Vec<Conflict>> {
    let reservations: HashMap<&str, &Reservation> =
        reservations.iter().map(|reservation| (&*reservation.name, reservation)).collect();
    let mut seen: HashMap<(String, IpAddr), Held<'_>> = HashMap::new();
    let mut found: BTreeMap<String, Vec<Conflict>> = BTreeMap::new();
    let mut add = |pool: &str, address: IpAddr, what: String| {
        let conflicts = found.entry(pool.to_owned()).or_default();
        if conflicts.len() < CONFLICTS_MAX {
            conflicts.push(Conflict { address, what });
        }
    };
    for pool in pools {
        let Some(range) = range(&pool.range) else { continue };
        let network = network(&pool.name, &pool.range).unwrap_or_default();
        let mut interfaces: HashMap<(&str, &str), IpAddr> = HashMap::new();
        for (offset, allocation) in &pool.allocations {
            let Some(address) = range.address(*offset) else { continue };
            let Allocation { podref, ifname, .. } = allocation;
            match seen.insert((network.clone(), address), (&pool.name, allocation)) {
                Some((other, held)) if holder(held) != holder(allocation) => {
                    add(
                        &pool.name,
                        address,
                        format!("held by {podref}, and in pool {other} by {}", held.podref),
                    );
                }
                _ => {}
            }
            let name = names::reservation(&network, address);
            if let Some(reservation) = reservations.get(&*name).filter(|found| found.podref != *podref) {
                add(
                    &pool.name,
                    address,
                    format!("held by {podref}, and reserved for {}", reservation.podref),
                );
            }
            if let Some(first) = interfaces.insert((podref, ifname), address).filter(|_| !ifname.is_empty()) {
                add(&pool.name, address, format!("held by {podref} {ifname}, which holds {first} too"));
            }
        }
    }
    found
}

fn holder(allocation: &Allocation) -> (&str, &str) {
    (&allocation.podref, &allocation.ifname)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &str, range: &str, held: &[(u128, &str)]) -> IpPool {
        let allocation =
            |podref: &str| Allocation { id: "c".into(), podref: podref.into(), ifname: "net1".into() };
        IpPool {
            name: name.into(),
            range: range.into(),
            allocations: held.iter().map(|(offset, podref)| (*offset, allocation(podref))).collect(),
            ..IpPool::default()
        }
    }

    fn said(pools: &[IpPool], reservations: &[Reservation]) -> Vec<String> {
        let found = conflicts(pools, reservations);
        found
            .into_values()
            .flatten()
            .map(|conflict| format!("{} {}", conflict.address, conflict.what))
            .collect()
    }

    #[test]
    fn an_address_of_two_holders_in_overlapping_pools_of_one_network_is_told() {
        let wide = pool("10.0.0.0-16", "10.0.0.0/16", &[(261, "n/a"), (262, "n/c")]);
        let narrow = pool("10.0.1.0-24", "10.0.1.0/24", &[(5, "n/b"), (6, "n/c")]);
        let other_network = pool("blue-10.0.1.0-24", "10.0.1.0/24", &[(5, "n/d")]);
        let said = said(&[wide, narrow, other_network], &[]);
        assert_eq!(said, ["10.0.1.5 held by n/b, and in pool 10.0.0.0-16 by n/a"]);
    }

    #[test]
    fn a_reservation_for_another_pod_and_a_second_address_are_told() {
        let pool = pool("10.0.0.0-24", "10.0.0.0/24", &[(5, "n/a"), (6, "n/a"), (7, "n/b")]);
        let reservation = |last: u8, podref: &str| Reservation {
            name: format!("10.0.0.{last}"),
            podref: podref.into(),
            ..Reservation::default()
        };
        let said = said(&[pool], &[reservation(5, "n/a"), reservation(7, "n/z")]);
        assert_eq!(
            said,
            [
                "10.0.0.6 held by n/a net1, which holds 10.0.0.5 too",
                "10.0.0.7 held by n/b, and reserved for n/z",
            ]
        );
    }
}
