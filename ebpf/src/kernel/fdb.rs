//! Who has a MAC, which network a VLAN is, which way leads out.

use core::mem::MaybeUninit;

use plexus_abi::{
    Address, FDB_CAPTURED, FdbEntry, FdbKey, HostKey, NO_DEVICE, NetworkConfig, PORT_CAPTURED, PORT_PRESENT,
    PortConfig, UplinkEntry, UplinkKey,
};

use super::maps::{FDB, HOSTS, NETWORKS, PORTS, UPLINK_HINTS, UPLINKS};
use crate::pure::ethernet::Tags;

/// The configured port with this id.
#[inline(always)]
pub(crate) fn port(id: u32) -> Option<&'static PortConfig> {
    PORTS.get(id).filter(|port| port.has(PORT_PRESENT))
}

/// The port that owns `mac` in a VLAN of a network.
#[inline(always)]
pub(crate) fn owner(network: u32, vlan: u16, mac: u64) -> Option<FdbEntry> {
    owner_of(Key::new(network, vlan, mac).get())
}

/// The same, where the port is likely to be the one that `hint` names: the port itself is asked, and the table only if it
/// has another address. The hint becomes the port that was found.
#[inline(always)]
pub(crate) fn owner_near(hint: &mut u32, network: u32, vlan: u16, mac: u64) -> Option<FdbEntry> {
    if let Some(port) = port(*hint)
        && port.is_at(network, vlan, mac)
    {
        let flags = if port.has(PORT_CAPTURED) { FDB_CAPTURED } else { 0 };
        return Some(FdbEntry { port: *hint, flags });
    }
    let entry = owner(network, vlan, mac)?;
    *hint = entry.port;
    Some(entry)
}

/// The port that frames from outside for a MAC address went to, or another.
#[inline(always)]
pub(crate) fn hint(mac: u64) -> Option<&'static mut u32> {
    let hints = UPLINK_HINTS.get_ptr_mut(0)?;
    // SAFETY: a per-CPU slot of a map that outlives the program; programs of one CPU run to their end one by one.
    let hints: &mut [u32; 256] = unsafe { &mut *hints };
    Some(&mut hints[usize::from(mac.to_le_bytes()[5])])
}

/// The same for a key that is there.
#[inline(always)]
pub(crate) fn owner_of(key: &FdbKey) -> Option<FdbEntry> {
    // SAFETY: the value is two words, copied at once.
    unsafe { FDB.get(key) }.copied()
}

/// A key on the stack, as the kernel reads it: by words. A word that was stored in pieces must wait for all of them.
#[repr(C, align(8))]
pub(crate) struct Key(FdbKey);

impl Key {
    /// The key of a MAC address that [`word`](crate::pure::ethernet::word) made a number.
    #[inline(always)]
    pub(crate) fn new(network: u32, vlan: u16, mac: u64) -> Self {
        let mut key = MaybeUninit::<Self>::uninit();
        let start = key.as_mut_ptr();
        // SAFETY: both stores are aligned and within the key, and fill it.
        unsafe {
            start.cast::<u64>().write(u64::from(network) | u64::from(vlan) << 32 | mac << 48);
            #[expect(clippy::cast_possible_truncation, reason = "the rest of 48 bits")]
            start.cast::<u32>().add(2).write((mac >> 16) as u32);
            key.assume_init()
        }
    }

    #[inline(always)]
    pub(crate) const fn get(&self) -> &FdbKey {
        &self.0
    }
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
