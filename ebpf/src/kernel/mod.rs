//! What runs in the kernel only: contexts, maps and the ways of a frame.

pub mod counters;
pub mod edge;
pub mod fdb;
pub mod flood;
pub mod from_pod;
pub mod from_uplink;
pub mod gate;
pub mod learning;
pub mod load;
pub mod maps;
pub mod policer;
pub mod route;
pub mod route_cache;
pub mod routing;
pub mod seen;
pub mod shaper;
pub mod skb;
pub mod stations;
pub mod tap;
pub mod vlan;
pub mod word;
pub mod xdp;
