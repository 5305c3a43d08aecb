//! Who has a MAC, which network a VLAN is, which way leads out.

use plexus_abi::{
    Address, FDB_CAPTURED, FdbEntry, FdbKey, HostKey, NO_DEVICE, NetworkConfig, PORT_CAPTURED, PORT_PRESENT,
    PortConfig, UplinkEntry, UplinkKey,
};

use super::maps::{FDB, HOSTS, NETWORKS, PORTS, UPLINKS};
use crate::pure::ethernet::Tags;

/// The configured port with this id.
#[inline(always)]
pub(crate) fn port(id: u32) -> Option<&'static PortConfig> {
    PORTS.get(id).filter(|port| port.has(PORT_PRESENT))
}

/// The port that owns `mac` in a VLAN of a network.
#[inline(always)]
pub(crate) fn owner(network: u32, vlan: u16, mac: [u8; 6]) -> Option<FdbEntry> {
    // SAFETY: the value is two words, copied at once.
    unsafe { FDB.get(FdbKey { network, vlan, mac }) }.copied()
}

/// A port that was found elsewhere, as if it had been found here.
#[inline(always)]
pub(crate) fn as_owner(id: u32) -> FdbEntry {
    let is_captured = port(id).is_some_and(|port| port.has(PORT_CAPTURED));
    FdbEntry { port: id, flags: if is_captured { FDB_CAPTURED } else { 0 } }
}

/// The port that has an address on a network that routes.
#[inline(always)]
pub(crate) fn host(network: u32, address: Address) -> Option<u32> {
    // SAFETY: the value is one word, copied at once.
    unsafe { HOSTS.get(HostKey { address, network, reserved: 0 }) }.map(|entry| entry.port)
}

/// The network that a VLAN of a device belongs to.
#[inline(always)]
pub(crate) fn uplink(ifindex: u32, tags: Tags) -> Option<UplinkEntry> {
    let (vlan, outer_vlan) = (tags.customer.vlan(), tags.service.vlan());
    // SAFETY: the value is two words, copied at once.
    unsafe { UPLINKS.get(UplinkKey { ifindex, vlan, outer_vlan }) }.copied()
}

/// The network with this id.
#[inline(always)]
pub(crate) fn network(id: u32) -> Option<&'static NetworkConfig> {
    // SAFETY: the agent replaces the value as a whole; a reader may see old and new words, each of them valid.
    unsafe { NETWORKS.get(id) }
}

/// The network, if it has an uplink.
#[inline(always)]
pub(crate) fn way_out(id: u32) -> Option<&'static NetworkConfig> {
    network(id).filter(|network| network.uplink_ifindex != NO_DEVICE)
}
