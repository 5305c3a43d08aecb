//! Map keys and values that the kernel and the agent share, and the words for what happens to a frame.
//!
//! Every struct here is plain integers without implicit padding, checked at compile time. A change of any layout
//! changes [`ABI_HASH`], and the agent then migrates to new maps instead of misreading old ones.
#![no_std]
#![allow(unsafe_code, reason = "zeroed constants and the Pod marker of plain integer structs")]

#[macro_use]
mod layout;

mod address;
mod counters;
mod drop_reason;
mod fdb;
mod network;
mod policer;
mod port;
mod route;
mod seen;
mod station;
mod verdict;

pub use address::Address;
pub use counters::{Counters, HINTS, hint_index};
pub use drop_reason::{DROP_SLOTS, DropReason};
pub use fdb::{FDB_CAPTURED, FdbEntry, FdbKey, HostKey};
pub use layout::ABI_HASH;
pub use network::{
    MAX_MEMBERS, Members, MembersKey, NETWORK_LEARNS, NETWORK_ROUTES, NETWORK_XDP_ALWAYS, NETWORK_XDP_NEVER,
    NO_DEVICE, NetworkConfig, UPLINK_LEARNS, UPLINK_ROUTES, UPLINK_XDP, UplinkEntry, UplinkKey,
};
pub use policer::{
    COST_SHIFT, Direction, PolicerConfig, PolicerState, TICKS_PER_NS_SHIFT, UNIT_SHIFT, policer_index,
};
pub use port::{
    GATEWAY_MAC, KIND_FASTPATH, KIND_HOST_TAP, KIND_POD_TAP, MAX_ADDRESSES, MAX_PORTS_DEFAULT,
    MAX_PORTS_LIMIT, PORT_CAPTURED, PORT_GUARD_IP, PORT_GUARD_MAC, PORT_IFINDEX_BASE, PORT_PRESENT,
    PORT_SHAPED, PROGRAM_FROM_POD, PROGRAM_LEARNING, PROGRAM_NETKIT, PROGRAM_NETKIT_LEARNING, PROGRAM_ROUTE,
    PROGRAM_ROUTING, PROGRAM_SHAPE, PROGRAM_SLOTS, PROGRAM_TAP_RX, PROGRAM_TAP_TX, PROGRAM_UPLINK,
    PortConfig, port_id, port_ifindex,
};
pub use route::{
    CachedRoute, HOP_BLACKHOLE, HOP_GATEWAY, HOP_NONE, HOP_ON_LINK, HOP_PASS, MAX_NEXT_HOPS,
    MAX_ROUTE_DEVICES, MAX_ROUTE_TABLES, NO_TABLE, NextHop, ROUTE_CACHE_SLOTS, ROUTE_SLOTS, RoutePort,
    route_generation, route_slot, route_word,
};
pub use seen::{
    CAPTURE_BYTES_MAX, CAPTURES_MAX, Capture, SAMPLE_BYTES, SEEN_CAPTURE, SEEN_RING_BYTES, SEEN_SAMPLE,
    SampleBudget, SeenHeader, Watch,
};
pub use station::{HOLD_DOWN_NS, MAX_STATIONS, MAX_STATIONS_PER_PORT, OUTSIDE, Station};
pub use verdict::Verdict;
