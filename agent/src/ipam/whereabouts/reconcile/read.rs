//! From the API server's objects to what is held.

use std::net::IpAddr;

use ipnet::IpNet;

use super::hold::{Hold, Place};
use crate::cluster::{IpPool, Reservation};
use crate::ipam::whereabouts::range::Range;

/// Everything that pools and reservations hold.
pub fn holds(pools: &[IpPool], reservations: &[Reservation]) -> Vec<Hold> {
    let allocated = pools.iter().flat_map(|pool| {
        let range = network(&pool.range);
        pool.allocations.iter().map(move |(offset, allocation)| Hold {
            place: Place::Pool { pool: pool.name.clone(), offset: *offset },
            address: range.as_ref().and_then(|range| range.address(*offset)),
            container_id: allocation.id.clone(),
            podref: allocation.podref.clone(),
            ifname: allocation.ifname.clone(),
        })
    });
    let reserved = reservations.iter().map(|reservation| Hold {
        place: Place::Reservation { name: reservation.name.clone() },
        address: reserved_address(&reservation.name),
        container_id: reservation.container_id.clone(),
        podref: reservation.podref.clone(),
        ifname: reservation.ifname.clone(),
    });
    allocated.chain(reserved).collect()
}

/// The range of an IPPool, which counts from its network's first address.
fn network(cidr: &str) -> Option<Range> {
    let network = cidr.parse::<IpNet>().ok()?.trunc();
    Some(Range { network, first: 0, last: u128::MAX, excluded: Vec::new() })
}

/// The address that a reservation is named by, behind the network's name if it has one. `None` where more than one
/// can be meant: `a-fd00--1` is `fd00::1` of the network `a`, or `a:fd00::1`.
pub fn reserved_address(name: &str) -> Option<IpAddr> {
    let starts = std::iter::once(0).chain(name.match_indices('-').map(|(at, _)| at + 1));
    let parse = |start: usize| {
        let text = name.get(start..)?;
        text.parse().ok().or_else(|| text.replace('-', ":").parse::<IpAddr>().ok())
    };
    let mut meant = starts.filter_map(parse);
    let first = meant.next()?;
    meant.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Allocation;
    use crate::ipam::whereabouts::names;

    #[test]
    fn an_entry_is_an_address_of_its_pools_range() {
        let allocation = Allocation { id: "c".into(), podref: "n/p".into(), ifname: "net1".into() };
        let pool = |range: &str| IpPool {
            name: "pool".into(),
            range: range.into(),
            allocations: [(5, allocation.clone())].into(),
            ..IpPool::default()
        };
        let seen = holds(&[pool("10.0.0.0/16"), pool("fd00::/64"), pool("?")], &[]);
        let addresses: Vec<_> = seen.iter().map(|hold| hold.address.map(|it| it.to_string())).collect();
        assert_eq!(addresses, [Some("10.0.0.5".into()), Some("fd00::5".into()), None]);
        assert_eq!(seen[0].place, Place::Pool { pool: "pool".into(), offset: 5 });
    }

    #[test]
    fn a_reservation_is_named_by_its_address() {
        for (network, address) in
            [("", "10.0.0.5"), ("blue", "10.0.0.5"), ("my-net", "10.0.0.5"), ("xyz", "fd00::5")]
        {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(reserved_address(&names::reservation(network, address)), Some(address), "{network}");
        }
        assert_eq!(reserved_address("a-fd00--1"), None);
        assert_eq!(reserved_address("nothing"), None);
    }
}
