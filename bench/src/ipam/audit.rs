//! What the objects of the API server say, compared with what containers hold. The objects are read as JSON, by the
//! administrator, and counted here: the agent's own reading takes no part.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};
use plexus_agent::lab::apiserver::Admin;
use serde_json::Value;

use super::ledger::Container;

const GROUP: &str = "/apis/whereabouts.cni.cncf.io/v1alpha1/namespaces/kube-system";

/// What is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Addresses that a container holds and that the objects do not give to it: somebody else may get them.
    pub(super) unprotected: u64,
    /// Entries that no container holds.
    pub(super) leaks: u64,
}

/// Compares IPPools and reservations of one network, by its `network_name`, with what is held.
pub(super) fn classic(
    admin: &Admin,
    network: &str,
    held: &HashMap<IpAddr, Container>,
    container_id: impl Fn(Container) -> String,
) -> Result<Found> {
    let mut given: BTreeMap<IpAddr, String> = BTreeMap::new();
    let mut found = Found::default();
    for pool in items(admin, "ippools", network)? {
        let cidr = pool["spec"]["range"].as_str().context("an IPPool without range")?;
        let first = network_address(cidr)?;
        for (offset, allocation) in pool["spec"]["allocations"].as_object().into_iter().flatten() {
            let address = plus(first, offset.parse().context("an offset that is no number")?);
            let id = allocation["id"].as_str().unwrap_or_default().to_owned();
            // Two pools of one network gave it away.
            found.unprotected += u64::from(given.insert(address, id).is_some());
        }
    }
    let mut reserved = items(admin, "overlappingrangeipreservations", network)?.len() as u64;
    for (address, container) in held {
        match given.remove(address) {
            Some(id) if id == container_id(*container) => reserved = reserved.saturating_sub(1),
            _ => found.unprotected += 1,
        }
    }
    found.leaks = given.len() as u64 + reserved;
    Ok(found)
}

/// Compares the slices of one NodeSlicePool after the other with the nodes whose containers hold addresses in them.
pub(super) fn fast(
    admin: &Admin,
    network: &str,
    held: &HashMap<IpAddr, Container>,
    node_name: impl Fn(usize) -> String,
) -> Result<Found> {
    let mut owners: Vec<(IpAddr, IpAddr, String)> = Vec::new();
    for pool in items(admin, "nodeslicepools", network)? {
        for slice in pool["status"]["allocations"].as_array().into_iter().flatten() {
            let text = |key: &str| slice[key].as_str().unwrap_or_default();
            let first = network_address(text("sliceRange"))?;
            owners.push((first, last(first, text("sliceRange"))?, text("nodeName").to_owned()));
        }
    }
    owners.sort();
    let mut found = Found::default();
    for pair in owners.windows(2) {
        let overlap = pair[0].0.is_ipv4() == pair[1].0.is_ipv4() && pair[0].1 >= pair[1].0;
        found.unprotected += u64::from(overlap);
    }
    for (address, container) in held {
        let at = owners.partition_point(|(first, ..)| first <= address);
        let owner = at.checked_sub(1).and_then(|at| owners.get(at));
        let is_ours =
            owner.is_some_and(|(_, last, node)| last >= address && *node == node_name(container.node));
        found.unprotected += u64::from(!is_ours);
    }
    Ok(found)
}

/// Objects whose name begins with the network's.
fn items(admin: &Admin, resource: &str, network: &str) -> Result<Vec<Value>> {
    let list = admin.get(&format!("{GROUP}/{resource}"), "")?;
    let all = list["items"].as_array().cloned().unwrap_or_default();
    let is_ours = |object: &Value| {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        name == network || name.strip_prefix(network).is_some_and(|rest| rest.starts_with('-'))
    };
    Ok(all.into_iter().filter(is_ours).collect())
}

fn split(cidr: &str) -> Result<(IpAddr, u32)> {
    let (address, length) = cidr.split_once('/').with_context(|| format!("{cidr:?} is no range"))?;
    Ok((address.parse().with_context(|| format!("{cidr:?} is no range"))?, length.parse()?))
}

fn network_address(cidr: &str) -> Result<IpAddr> {
    let (address, length) = split(cidr)?;
    Ok(match address {
        IpAddr::V4(v4) => Ipv4Addr::from(u32::from(v4) & !narrow(host_bits(32 - length.min(32)))).into(),
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & !host_bits(128 - length.min(128))).into(),
    })
}

fn last(first: IpAddr, cidr: &str) -> Result<IpAddr> {
    let (_, length) = split(cidr)?;
    let bits = if first.is_ipv4() { 32 } else { 128 };
    Ok(plus(first, host_bits(bits - length.min(bits))))
}

fn host_bits(count: u32) -> u128 {
    1_u128.checked_shl(count).map_or(u128::MAX, |one| one - 1)
}

/// What lies in an IPv4 range is no larger.
fn narrow(offset: u128) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

fn plus(first: IpAddr, offset: u128) -> IpAddr {
    match first {
        IpAddr::V4(v4) => Ipv4Addr::from(u32::from(v4).wrapping_add(narrow(offset))).into(),
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6).wrapping_add(offset)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_count_from_the_networks_first_address() {
        let of = |cidr: &str, offset| plus(network_address(cidr).unwrap(), offset).to_string();
        assert_eq!(of("10.77.3.9/16", 258), "10.77.1.2");
        assert_eq!(of("fd00:77::5/112", 258), "fd00:77::102");
        let end = |cidr: &str| last(network_address(cidr).unwrap(), cidr).unwrap().to_string();
        assert_eq!((&*end("10.0.0.0/25"), &*end("fd00::/120")), ("10.0.0.127", "fd00::ff"));
        assert!(network_address("10.0.0.0").is_err());
    }
}
