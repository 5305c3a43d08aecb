//! IPAM `dhcp`: an address leased from a server on the pod's network, for IPv4 (RFC 2131) and IPv6 (RFC 8415).
//!
//! ```text
//! ADD ── acquire ──▶ packets on the pod's interface ──▶ lease file ──▶ table
//!                                                                     │ T1, T2, expiry
//!                    renewer: one thread for all leases ◀──────────────┘
//!                      └─ another address, or none ──▶ interface, record, network-status, event
//! DEL ── release ──▶ one packet, then the file goes
//! ```
//!
//! `machine` (what to send when), `terms` (what a server's answer means), `message` and `frame` (bytes; with a 6 those of DHCPv6), `config` and
//! `table` are pure. Facts: RFC 2131, 2132, 3442, 3397, and the reference plugin (containernetworking/plugins,
//! plugins/ipam/dhcp) for keys, client identifier and options.

mod acquire;
mod change;
mod clock;
mod config;
mod counts;
mod family;
mod frame;
mod frame6;
mod held;
mod machine;
mod message;
mod message6;
mod probe;
mod release;
mod renewer;
mod room;
mod store;
mod table;
mod terms;

pub(crate) use acquire::Ask;
pub use config::Wishes;
pub use counts::Counts;
pub use family::Family;
pub use held::Key;
pub use renewer::start;
pub use room::Dhcp;

/// Whether this process may do what a native lease takes: enter the pod's namespace, and open packet sockets there.
pub(crate) fn is_possible() -> bool {
    use std::sync::OnceLock;
    /// CAP_NET_RAW and CAP_SYS_ADMIN, linux/capability.h.
    const NEEDED: u64 = (1 << 13) | (1 << 21);
    static POSSIBLE: OnceLock<bool> = OnceLock::new();
    *POSSIBLE.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let effective = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
        effective.is_some_and(|bits| bits & NEEDED == NEEDED)
    })
}
