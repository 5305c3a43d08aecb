//! Forwarding database: which port owns a MAC, or an address.

use crate::Address;

shared! {
    /// A MAC address in one VLAN of one network.
    pub struct FdbKey {
        /// The network's id.
        pub network: u32,
        /// VLAN id in the network, 0 for untagged.
        pub vlan: u16,
        /// The MAC address in network order.
        pub mac: [u8; 6],
    }
}

/// `FdbEntry::flags`: somebody captures what goes to the port; XDP leaves its frames to tc.
pub const FDB_CAPTURED: u32 = 1;

shared! {
    /// An address of a pod on a network that routes.
    pub struct HostKey {
        /// The address.
        pub address: Address,
        /// The network's id.
        pub network: u32,
        /// Zero.
        pub reserved: u32,
    }
}

shared! {
    /// Where frames for a MAC go.
    pub struct FdbEntry {
        /// The port's id.
        pub port: u32,
        /// `FDB_*` flags.
        pub flags: u32,
    }
}
