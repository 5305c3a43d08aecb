//! A fastpath network, its uplink and its members on this node.

/// Members of one (network, VLAN) on one node: the bound of the replication loop.
pub const MAX_MEMBERS: usize = 256;

/// `NetworkConfig::uplink_ifindex` of a network without uplink.
pub const NO_DEVICE: u32 = 0;

/// `NetworkConfig::flags`: XDP on the uplink even where the agent would not choose it.
pub const NETWORK_XDP_ALWAYS: u16 = 1;
/// `NetworkConfig::flags`: no XDP on the uplink for this network.
pub const NETWORK_XDP_NEVER: u16 = 2;

/// `NetworkConfig::flags`: stations are learnt from what they send.
pub const NETWORK_LEARNS: u16 = 4;

/// `NetworkConfig::flags`: packets are forwarded by address.
pub const NETWORK_ROUTES: u16 = 8;

/// `UplinkEntry::flags`: XDP delivers for this VLAN; otherwise it lets the frames pass to tcx.
pub const UPLINK_XDP: u32 = 1;
/// `UplinkEntry::flags`: the network learns.
pub const UPLINK_LEARNS: u32 = 2;
/// `UplinkEntry::flags`: the network forwards by address.
pub const UPLINK_ROUTES: u32 = 4;

shared! {
    /// What a network looks like from a pod.
    pub struct NetworkConfig {
        /// The uplink's ifindex, or `NO_DEVICE`.
        pub uplink_ifindex: u32,
        /// The network's own VLAN on the uplink, 0 for untagged.
        pub vlan: u16,
        /// `NETWORK_*` flags.
        pub flags: u16,
        /// The service VLAN (802.1ad) around the network's own on the uplink, 0 for none.
        pub outer_vlan: u16,
        /// Zero.
        pub reserved: u16,
        /// How long a learnt station is remembered after its last frame, in seconds.
        pub ageing_s: u32,
    }
}

shared! {
    /// One VLAN of one uplink.
    pub struct UplinkKey {
        /// The uplink's ifindex.
        pub ifindex: u32,
        /// VLAN id on the wire, 0 for untagged.
        pub vlan: u16,
        /// Service VLAN id (802.1ad) around it, 0 for none.
        pub outer_vlan: u16,
    }
}

shared! {
    /// The network that a VLAN of an uplink belongs to.
    pub struct UplinkEntry {
        /// The network's id.
        pub network: u32,
        /// `UPLINK_*` flags.
        pub flags: u32,
    }
}

shared! {
    /// A broadcast domain: one VLAN of one network.
    pub struct MembersKey {
        /// The network's id.
        pub network: u32,
        /// VLAN id in the network, 0 for untagged.
        pub vlan: u16,
        /// Zero.
        pub reserved: u16,
    }
}

shared! {
    /// The ports that a broadcast goes to.
    pub struct Members {
        /// How many slots of `ports` are in use, from the front.
        pub count: u32,
        /// Port ids.
        pub ports: [u32; MAX_MEMBERS],
    }
}
