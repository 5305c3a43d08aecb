//! Ports: attachments with a dense id.

use crate::Address;

/// The ifindex of port 0's device; port N has `PORT_IFINDEX_BASE + N`.
///
/// The agent creates every port's device with this index, so a program knows the port without a lookup, in any
/// network namespace. The kernel counts its own indexes up from 1 per namespace and does not come this far.
pub const PORT_IFINDEX_BASE: u32 = 0x0100_0000;

/// Ports per node unless configured otherwise.
pub const MAX_PORTS_DEFAULT: u32 = 4096;

/// The most ports a node may be configured for: above it the per-CPU counters alone take gigabytes.
pub const MAX_PORTS_LIMIT: u32 = 65_536;

/// IP addresses per port, bound of the anti-spoofing loop.
pub const MAX_ADDRESSES: usize = 16;

/// `PortConfig::flags`: the slot is in use.
pub const PORT_PRESENT: u32 = 1;
/// `PortConfig::flags`: drop frames with a foreign source MAC.
pub const PORT_GUARD_MAC: u32 = 2;
/// `PortConfig::flags`: drop frames with a foreign source IP, ARP and neighbour discovery included.
pub const PORT_GUARD_IP: u32 = 4;

/// `PortConfig::flags`: fq stands on the port's device in the pod, so what the pod sends above its rate waits there.
pub const PORT_SHAPED: u32 = 64;
/// `PortConfig::flags`: somebody captures the port's frames. Only the agent that serves the capture sets it.
pub const PORT_CAPTURED: u32 = 128;

/// `PortConfig::kind`: member of a fastpath network; the device is the veth's host end.
pub const KIND_FASTPATH: u32 = 1;
/// `PortConfig::kind`: counted and policed at the veth's host end (bridge).
pub const KIND_HOST_TAP: u32 = 2;
/// `PortConfig::kind`: counted and policed at the device inside the pod (macvlan).
pub const KIND_POD_TAP: u32 = 3;

/// The host's end of every port of a network that routes: the gateway that its pods send to.
pub const GATEWAY_MAC: [u8; 6] = [0x0a, 0x70, 0x6c, 0x78, 0, 1];

shared! {
    /// What the programs know about a port.
    pub struct PortConfig {
        /// The fastpath network's id, 0 for other kinds.
        pub network: u32,
        /// `PORT_*` flags.
        pub flags: u32,
        /// VLAN in the network, 0 for untagged.
        pub vlan: u16,
        /// The pod's MAC address.
        pub mac: [u8; 6],
        /// `KIND_*`.
        pub kind: u32,
        /// How many slots of `addresses` are in use, from the front.
        pub address_count: u32,
        /// The pod's addresses.
        pub addresses: [Address; MAX_ADDRESSES],
    }
}

impl PortConfig {
    /// Whether `address` belongs to the port: configured, or the link-local address of its MAC.
    #[inline]
    pub fn owns(&self, address: Address) -> bool {
        for (index, own) in self.addresses.iter().enumerate() {
            if index >= self.address_count as usize {
                break;
            }
            if own.high == address.high && own.low == address.low {
                return true;
            }
        }
        let link_local = Address::link_local(self.mac);
        link_local.high == address.high && link_local.low == address.low
    }

    /// The MAC address as a number whose lowest byte is the first.
    #[inline]
    pub const fn mac_word(&self) -> u64 {
        self.vlan_and_mac() >> 16
    }

    /// Whether the port is a member of a VLAN of a network, and has the address that is such a number.
    #[inline]
    pub const fn is_at(&self, network: u32, vlan: u16, mac: u64) -> bool {
        self.kind == KIND_FASTPATH
            && self.network == network
            && self.vlan_and_mac() == (vlan as u64) | mac << 16
    }

    /// Two neighbours in the struct: an aligned word, which the compiler loads at once.
    #[inline]
    const fn vlan_and_mac(&self) -> u64 {
        let [v0, v1] = self.vlan.to_le_bytes();
        let [m0, m1, m2, m3, m4, m5] = self.mac;
        u64::from_le_bytes([v0, v1, m0, m1, m2, m3, m4, m5])
    }

    /// Whether a `PORT_*` flag is set.
    #[inline]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

/// The ifindex of a port's device.
#[inline]
pub const fn port_ifindex(id: u32) -> u32 {
    PORT_IFINDEX_BASE.wrapping_add(id)
}

/// The port whose device has `ifindex`; a number out of every map's range if the device is no port.
#[inline]
pub const fn port_id(ifindex: u32) -> u32 {
    ifindex.wrapping_sub(PORT_IFINDEX_BASE)
}

/// Slot of `PROGRAMS`: what the host end of a fastpath port's veth runs.
pub const PROGRAM_FROM_POD: u32 = 0;
/// Slot of `PROGRAMS`: what counts and polices frames from a tapped pod.
pub const PROGRAM_TAP_TX: u32 = 1;
/// Slot of `PROGRAMS`: what counts and polices frames to a tapped pod.
pub const PROGRAM_TAP_RX: u32 = 2;
/// Slot of `PROGRAMS`: what an uplink receives, on kernels without tcx.
pub const PROGRAM_UPLINK: u32 = 3;
/// Slot of `PROGRAMS`: what looks up the routes of a packet that leaves a pod.
pub const PROGRAM_ROUTE: u32 = 4;
/// Slot of `PROGRAMS`: what gives a packet its time where it leaves the pod's end of a veth.
pub const PROGRAM_SHAPE: u32 = 5;
/// Slot of `PROGRAMS`: what the pod's end of a fastpath port's netkit pair runs.
pub const PROGRAM_NETKIT: u32 = 6;
/// Slot of `PROGRAMS`: what the pod's end of a fastpath port's netkit pair runs on a network that learns.
pub const PROGRAM_NETKIT_LEARNING: u32 = 7;
/// Slot of `PROGRAMS`: what the host end of a fastpath port's veth runs on a network that learns.
pub const PROGRAM_LEARNING: u32 = 10;
/// Slot of `PROGRAMS`: what the host end of a fastpath port's veth runs on a network that routes.
pub const PROGRAM_ROUTING: u32 = 11;
/// Slots of `PROGRAMS`, with room for more: the map outlives every ABI, so its size never changes.
pub const PROGRAM_SLOTS: u32 = 16;
