//! Who has a MAC, which network a VLAN is, which way leads out.

use plexus_abi::{FdbKey, NO_DEVICE, PORT_PRESENT, PortConfig, UplinkEntry, UplinkKey};

use super::maps::{FDB, NETWORKS, PORTS, UPLINKS};

/// The configured port with this id.
#[inline(always)]
pub(crate) fn port(id: u32) -> Option<&'static PortConfig> {
    PORTS.get(id).filter(|port| port.has(PORT_PRESENT))
}

/// The port that owns `mac` in a VLAN of a network.
#[inline(always)]
pub(crate) fn owner(network: u32, vlan: u16, mac: [u8; 6]) -> Option<u32> {
    // SAFETY: the value is one word, copied at once.
    unsafe { FDB.get(FdbKey { network, vlan, mac }) }.map(|entry| entry.port)
}

/// The network that a VLAN of a device belongs to.
#[inline(always)]
pub(crate) fn uplink(ifindex: u32, vlan: u16) -> Option<UplinkEntry> {
    // SAFETY: the value is two words, copied at once.
    unsafe { UPLINKS.get(UplinkKey { ifindex, vlan, reserved: 0 }) }.copied()
}

/// The uplink of a network.
#[inline(always)]
pub(crate) fn way_out(network: u32) -> Option<u32> {
    // SAFETY: one word is copied.
    let ifindex = unsafe { NETWORKS.get(network) }?.uplink_ifindex;
    (ifindex != NO_DEVICE).then_some(ifindex)
}
