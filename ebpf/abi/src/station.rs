//! Stations that were heard, on networks that learn.

/// `Station::port` of a station that was heard on the uplink.
pub const OUTSIDE: u32 = u32::MAX;

/// Stations behind one port that are learnt; further ones are not, and frames for them are flooded.
pub const MAX_STATIONS_PER_PORT: u64 = 256;

/// Learnt stations of all networks of a node; the one that was silent longest makes room.
pub const MAX_STATIONS: u32 = 8192;

/// How long a station behind a port stays there although its frames come from the uplink, in nanoseconds: a switch or
/// a bond may send a pod's own broadcast back.
pub const HOLD_DOWN_NS: u64 = 200_000_000;

shared! {
    /// Where a MAC address was heard last.
    pub struct Station {
        /// The port's id, or `OUTSIDE`.
        pub port: u32,
        /// Zero.
        pub reserved: u32,
        /// When, in nanoseconds since boot (CLOCK_MONOTONIC), up to 50 ms late.
        pub seen_ns: u64,
    }
}

impl Station {
    /// Whether the station was heard within `ageing_s` seconds before `now_ns`.
    #[inline]
    pub const fn is_fresh(&self, ageing_s: u32, now_ns: u64) -> bool {
        now_ns.wrapping_sub(self.seen_ns) < ageing_s as u64 * 1_000_000_000
    }
}
