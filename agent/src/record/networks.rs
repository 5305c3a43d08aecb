//! Numbers of fastpath networks on this node, and who is a member.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use plexus_cni::{CniError, Code};

use super::{PortKind, Record};
use crate::datapath::{Forwarding, NetworkSpec, XdpChoice};

/// What makes two attachments members of one fastpath network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkKey {
    /// The CNI network's name.
    pub name: String,
    /// The uplink's name, if there is one.
    pub uplink: Option<String>,
    /// VLAN on the uplink, 0 for untagged.
    pub vlan: u16,
    /// Whether XDP on the uplink delivers to pods.
    pub xdp: XdpChoice,
    /// Learning, and a second VLAN.
    pub forwarding: Forwarding,
}

impl NetworkKey {
    /// The network as the data plane takes it.
    pub fn spec(&self, id: u32, uplink_ifindex: Option<u32>) -> NetworkSpec {
        let Self { vlan, xdp, forwarding, .. } = *self;
        NetworkSpec { id, uplink_ifindex, vlan, xdp, forwarding }
    }

    /// Whether frames of both are the same on the wire.
    fn collides_with(&self, other: &Self) -> bool {
        self.uplink.is_some()
            && self.uplink == other.uplink
            && (self.vlan, self.forwarding.outer_vlan) == (other.vlan, other.forwarding.outer_vlan)
    }
}

struct Members {
    key: NetworkKey,
    ports: BTreeSet<u32>,
}

/// Networks with members, by number. Its lock is held while the data plane is changed, so that a network that loses
/// its last member is not removed under one that joins.
pub struct NetworkPool {
    networks: Mutex<BTreeMap<u32, Members>>,
}

impl NetworkPool {
    /// The networks that the records know.
    pub fn new<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut networks: BTreeMap<u32, Members> = BTreeMap::new();
        for attachment in records.into_iter().flat_map(|record| &record.attachments) {
            let Some(port) = &attachment.port else { continue };
            if let PortKind::Fastpath { network_id, vlan, uplink, xdp, forwarding, .. } = &port.kind {
                let key = NetworkKey {
                    name: attachment.network.clone(),
                    uplink: uplink.clone(),
                    vlan: *vlan,
                    xdp: *xdp,
                    forwarding: *forwarding,
                };
                let members =
                    networks.entry(*network_id).or_insert_with(|| Members { key, ports: BTreeSet::new() });
                members.ports.insert(port.id);
            }
        }
        Self { networks: Mutex::new(networks) }
    }

    /// Makes a port a member and returns the network's number; `build` puts the network in place.
    pub fn join(
        &self,
        key: &NetworkKey,
        port: u32,
        build: impl FnOnce(u32) -> Result<(), CniError>,
    ) -> Result<u32, CniError> {
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        let known = networks.iter().find(|(_, members)| members.key == *key).map(|(id, _)| *id);
        if known.is_none()
            && let Some(other) = networks.values().find(|other| other.key.collides_with(key))
        {
            return Err(CniError::new(
                Code::InvalidConfig,
                format!(
                    "VLAN {} of uplink {} belongs to network {}",
                    key.vlan,
                    key.uplink.as_deref().unwrap_or("-"),
                    other.key.name
                ),
            )
            .because("two networks cannot share it, nor one with other options while pods use it; give them one name and the \
                 same options, or another VLAN"));
        }
        let id =
            known.unwrap_or_else(|| (1..=u32::MAX).find(|id| !networks.contains_key(id)).unwrap_or(u32::MAX));
        build(id)?;
        let members =
            networks.entry(id).or_insert_with(|| Members { key: key.clone(), ports: BTreeSet::new() });
        members.ports.insert(port);
        Ok(id)
    }

    /// Takes a port out of whatever network it is in; `remove` is called for a network that has no member left, with
    /// the keys of the others.
    pub fn leave(
        &self,
        port: u32,
        remove: impl Fn(u32, &[&NetworkKey]) -> Result<(), CniError>,
    ) -> Result<(), CniError> {
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(id) = networks.iter().find(|(_, members)| members.ports.contains(&port)).map(|(id, _)| *id)
        else {
            return Ok(());
        };
        let is_last = networks.get(&id).is_some_and(|members| members.ports.len() == 1);
        if is_last {
            let others: Vec<_> =
                networks.iter().filter(|(other, _)| **other != id).map(|(_, members)| &members.key).collect();
            remove(id, &others)?;
            networks.remove(&id);
        } else if let Some(members) = networks.get_mut(&id) {
            members.ports.remove(&port);
        }
        Ok(())
    }

    /// The networks' numbers with their uplinks and VLANs.
    pub fn all(&self) -> Vec<(u32, NetworkKey)> {
        let networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        networks.iter().map(|(id, members)| (*id, members.key.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn key(name: &str, vlan: u16) -> NetworkKey {
        NetworkKey {
            name: name.into(),
            uplink: Some("up0".into()),
            vlan,
            xdp: XdpChoice::Auto,
            forwarding: Forwarding::default(),
        }
    }

    #[test]
    fn members_of_one_network_share_its_number_and_the_last_one_removes_it() {
        let pool = NetworkPool::new([]);
        let blue = pool.join(&key("blue", 100), 1, |_| Ok(())).unwrap();
        assert_eq!(pool.join(&key("blue", 100), 2, |_| Ok(())).unwrap(), blue);
        assert_ne!(pool.join(&key("red", 200), 3, |_| Ok(())).unwrap(), blue);
        let removed = Cell::new(None);
        let remove = |id, _: &[&NetworkKey]| {
            removed.set(Some(id));
            Ok(())
        };
        pool.leave(1, remove).unwrap();
        assert_eq!(removed.get(), None);
        pool.leave(2, remove).unwrap();
        assert_eq!(removed.get(), Some(blue));
        pool.leave(2, remove).unwrap();
    }

    #[test]
    fn two_networks_cannot_share_a_vlan_of_an_uplink() {
        let pool = NetworkPool::new([]);
        pool.join(&key("blue", 100), 1, |_| Ok(())).unwrap();
        assert!(pool.join(&key("red", 100), 2, |_| Ok(())).is_err());
    }

    #[test]
    fn a_vlan_inside_a_service_vlan_is_another_one_and_other_options_are_another_network() {
        let pool = NetworkPool::new([]);
        let plain = key("blue", 100);
        pool.join(&plain, 1, |_| Ok(())).unwrap();
        let stacked = Forwarding { outer_vlan: 7, ..Forwarding::default() };
        pool.join(&NetworkKey { forwarding: stacked, ..key("red", 100) }, 2, |_| Ok(())).unwrap();
        let learning = Forwarding { learning: true, ..Forwarding::default() };
        let error = pool.join(&NetworkKey { forwarding: learning, ..plain }, 3, |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("same options"), "{error}");
    }

    #[test]
    fn a_network_that_cannot_be_built_has_no_member() {
        let pool = NetworkPool::new([]);
        let refused = || CniError::new(Code::Datapath, "no");
        assert!(pool.join(&key("blue", 100), 1, |_| Err(refused())).is_err());
        assert!(pool.all().is_empty());
    }
}
