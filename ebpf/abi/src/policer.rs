//! Policers: a rate, a burst and one word of state per port and direction.

/// Time in the policer state is counted in ticks of 2^-8 ns: fine enough for 64 bytes at 400 Gbit/s (1.28 ns), and
/// the clock wraps after two years of uptime, which signed differences survive.
pub const TICKS_PER_NS_SHIFT: u32 = 8;

/// `PolicerConfig::cost_per_byte` is in units of 2^-20 ns.
pub const COST_SHIFT: u32 = 20;

/// From cost units to ticks.
pub const UNIT_SHIFT: u32 = COST_SHIFT - TICKS_PER_NS_SHIFT;

/// Which way a frame goes, seen from the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Direction {
    /// To the pod (the CNI's "ingress").
    ToPod = 0,
    /// From the pod (the CNI's "egress").
    FromPod = 1,
}

shared! {
    /// Rate and burst, precomputed so that the fast path multiplies and never divides.
    pub struct PolicerConfig {
        /// Time that one byte takes at the rate, in units of 2^-20 ns; 0 means no policer.
        pub cost_per_byte: u64,
        /// Time that the burst takes at the rate, in ticks of 2^-8 ns.
        pub limit_ticks: u64,
        /// The rate as configured, for people.
        pub rate_bps: u64,
        /// The burst as configured, for people.
        pub burst_bits: u64,
    }
}

shared! {
    /// State of a policer.
    pub struct PolicerState {
        /// Theoretical arrival time: when the bucket is full again, in ticks of the monotonic clock.
        pub tat_ticks: u64,
    }
}

/// Index of a port's policer in the policer maps.
#[inline]
pub const fn policer_index(port: u32, direction: Direction) -> u32 {
    port.wrapping_mul(2).wrapping_add(direction as u32)
}
