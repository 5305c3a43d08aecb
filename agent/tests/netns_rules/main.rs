//! `portmap` and `firewall` end to end, with traffic: shim, agent, nftables, each test on a throw-away host.
//!
//! ```text
//!   pod-a eth0 ─┐
//!               ├─ br-a (gateway) ─ host 192.0.2.1 ─ uplink0 ═══ eth0 outside 192.0.2.2
//!   pod-b eth0 ─┘
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "helpers of tests fail as tests do, and take what `json!` makes"
)]

mod firewall;
mod firewall_policy;
mod portmap;
mod portmap_life;
mod rig;
mod server;
