//! The generic cell rate algorithm, with one word of state.
//!
//! The word is the theoretical arrival time: the moment at which the bucket would be full again. A packet passes if
//! the backlog before that moment, plus the packet's own time at the rate, stays within the burst.

use plexus_abi::{PolicerConfig, TICKS_PER_NS_SHIFT, UNIT_SHIFT};

/// Longest packet the arithmetic is made for: IPv6 jumbograms of segmentation offload stay below it.
pub const MAX_BYTES: u32 = 1 << 20;

/// A lease is this much of the burst, 2^-10, and no more time than this.
const LEASE_SHIFT: u32 = 10;
const LEASE_MAX_TICKS: u64 = ticks(1_000_000);

/// The monotonic clock in policer ticks; wraps after two years.
#[inline]
pub const fn ticks(monotonic_ns: u64) -> u64 {
    monotonic_ns << TICKS_PER_NS_SHIFT
}

/// The time that `bytes` take at the configured rate, in ticks, rounded to the nearest.
///
/// The product fits: at the lowest rate (1 kbit/s) a byte costs less than 2^43 units.
#[inline]
pub const fn cost_ticks(config: &PolicerConfig, bytes: u32) -> u64 {
    let bytes = if bytes > MAX_BYTES { MAX_BYTES } else { bytes };
    let units = config.cost_per_byte.wrapping_mul(bytes as u64);
    (units >> UNIT_SHIFT) + ((units >> (UNIT_SHIFT - 1)) & 1)
}

/// The new theoretical arrival time if a packet of `cost_ticks` may pass at `now_ticks`, or nothing if it may not.
///
/// A full bucket lets one packet of any size pass, on credit that later packets pay back: so a burst smaller than a
/// packet slows the traffic to the rate instead of stopping it.
#[inline]
pub const fn admit(tat_ticks: u64, now_ticks: u64, cost_ticks: u64, limit_ticks: u64) -> Option<u64> {
    let backlog = backlog(tat_ticks, now_ticks);
    if backlog == 0 || backlog.wrapping_add(cost_ticks) <= limit_ticks {
        Some(now_ticks.wrapping_add(backlog).wrapping_add(cost_ticks))
    } else {
        None
    }
}

/// [`admit`] by a clock that is cheap and late, and by the exact one only for a packet that the late one refuses.
///
/// What passes a while ago passes now, so nothing is refused that the exact clock would let through. A full bucket counts as
/// full since the late clock's tick: the burst may be exceeded by the rate times one tick, and the rate never is, because
/// above it no bucket is full.
#[inline(always)]
pub fn admit_late(
    tat_ticks: u64,
    late_ticks: u64,
    exact_ticks: impl FnOnce() -> u64,
    cost_ticks: u64,
    limit_ticks: u64,
) -> Option<u64> {
    match admit(tat_ticks, late_ticks, cost_ticks, limit_ticks) {
        Some(next) => Some(next),
        None => admit(tat_ticks, exact_ticks(), cost_ticks, limit_ticks),
    }
}

/// What one CPU may pay ahead, in ticks: a thousandth of the burst, so that packets far from the limit touch no word that
/// CPUs share. What it has not used stays with it: the burst may be exceeded by a lease per CPU once, the rate never is.
#[inline]
pub const fn lease_ticks(config: &PolicerConfig) -> u64 {
    let lease = config.limit_ticks >> LEASE_SHIFT;
    if lease > LEASE_MAX_TICKS { LEASE_MAX_TICKS } else { lease }
}

/// What is left of a lease after a packet, if it pays for the packet. A lease of an older, larger burst counts as one of
/// this burst.
#[inline(always)]
pub fn spend(lease_ticks: u64, cost_ticks: u64, config: &PolicerConfig) -> Option<u64> {
    lease_ticks.min(self::lease_ticks(config)).checked_sub(cost_ticks)
}

/// [`admit_late`] for a packet for which no lease pays: gives the new theoretical arrival time and the new lease. Where the
/// whole of a lease does not fit into the burst any more, or does not pay for two packets, none is taken.
#[inline(always)]
pub fn admit_leased(
    tat_ticks: u64,
    late_ticks: u64,
    exact_ticks: impl FnOnce() -> u64,
    cost_ticks: u64,
    config: &PolicerConfig,
) -> Option<(u64, u64)> {
    let lease = lease_ticks(config);
    if lease >= cost_ticks.wrapping_mul(2)
        && let Some(next) = admit(tat_ticks, late_ticks, lease, config.limit_ticks)
    {
        return Some((next, lease.wrapping_sub(cost_ticks)));
    }
    let next = admit_late(tat_ticks, late_ticks, exact_ticks, cost_ticks, config.limit_ticks)?;
    Some((next, 0))
}

/// How far the theoretical arrival time lies in the future, in ticks; signed, so that the clock may wrap.
#[inline]
pub const fn backlog(tat_ticks: u64, now_ticks: u64) -> u64 {
    let ahead = tat_ticks.wrapping_sub(now_ticks);
    if ahead.cast_signed() < 0 { 0 } else { ahead }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = ticks(1_000_000_000);

    fn config(rate_bps: u64, burst_bits: u64) -> PolicerConfig {
        let cost = (8_000_000_000_u128 << plexus_abi::COST_SHIFT).div_ceil(u128::from(rate_bps));
        let limit = u128::from(burst_bits) * u128::from(SECOND) / u128::from(rate_bps);
        PolicerConfig {
            cost_per_byte: cost.try_into().expect("below 2^43"),
            limit_ticks: limit.try_into().expect("below 2^62"),
            rate_bps,
            burst_bits,
        }
    }

    /// Sends packets of `bytes` every `gap_ns` for `packets` packets from `start_ns` and returns the bytes that pass.
    fn send(config: &PolicerConfig, bytes: u32, gap_ns: u64, packets: u64, start_ns: u64) -> u64 {
        let mut tat = 0;
        let mut passed = 0;
        for packet in 0..packets {
            let now = ticks(start_ns.wrapping_add(packet * gap_ns));
            if let Some(next) = admit(tat, now, cost_ticks(config, bytes), config.limit_ticks) {
                tat = next;
                passed += u64::from(bytes);
            }
        }
        passed
    }

    #[test]
    fn twice_the_rate_is_halved() {
        let passed = send(&config(8_000_000, 80_000), 1000, 500_000, 20_000, 1_000_000_000);
        let expected = 10 * 1_000_000;
        assert!(passed.abs_diff(expected) <= expected / 100, "{passed} of {expected} bytes");
    }

    #[test]
    fn an_idle_bucket_holds_exactly_its_burst() {
        assert_eq!(send(&config(1_000, 80_000), 1000, 0, 100, 5_000_000_000), 10_000);
    }

    #[test]
    fn a_burst_below_one_packet_keeps_the_rate() {
        let passed = send(&config(8_000_000, 8), 1500, 100_000, 100_000, 1_000_000_000);
        let expected = 10 * 1_000_000;
        assert!(passed.abs_diff(expected) <= expected / 10, "{passed} of {expected} bytes");
    }

    #[test]
    fn the_clock_may_wrap() {
        let before_wrap_ns = (1 << 56) - 5_000_000;
        let passed = send(&config(8_000_000, 8_000), 1000, 500_000, 2_000, before_wrap_ns);
        assert!(passed.abs_diff(1_000_000) <= 20_000, "{passed} bytes");
    }

    proptest! {
        #[test]
        fn never_more_than_rate_times_time_plus_burst_and_one_packet(
            rate_bps in 1_000_u64..400_000_000_000,
            burst_bits in 1_u64..1 << 31,
            packets in proptest::collection::vec((60_u32..65_000, 0_u64..10_000_000), 1..400),
        ) {
            let config = config(rate_bps, burst_bits);
            let (mut tat, mut now_ns, mut passed_bits, start_ns) = (0, 1_u64 << 40, 0_u128, 1_u64 << 40);
            for (bytes, gap_ns) in packets {
                now_ns += gap_ns;
                if let Some(next) = admit(tat, ticks(now_ns), cost_ticks(&config, bytes), config.limit_ticks) {
                    tat = next;
                    passed_bits += u128::from(bytes) * 8;
                }
            }
            let time_bits = u128::from(rate_bps) * u128::from(now_ns - start_ns) / 1_000_000_000;
            let allowed = time_bits + u128::from(burst_bits) + 65_000 * 8;
            prop_assert!(passed_bits <= allowed + allowed / 200, "{passed_bits} > {allowed}");
        }

        #[test]
        fn a_late_clock_refuses_nothing_more_and_adds_a_tick_of_the_rate_to_the_burst_once(
            rate_bps in 1_000_u64..400_000_000_000,
            burst_bits in 1_u64..1 << 31,
            tick_ns in 1_u64..10_000_000,
            packets in proptest::collection::vec((60_u32..65_000, 0_u64..10_000_000), 1..400),
        ) {
            let config = config(rate_bps, burst_bits);
            let (mut tat, mut now_ns, mut passed_bits, start_ns) = (0, 1_u64 << 40, 0_u128, 1_u64 << 40);
            for (bytes, gap_ns) in packets {
                now_ns += gap_ns;
                let late = ticks(now_ns - now_ns % tick_ns);
                let cost = cost_ticks(&config, bytes);
                let next = admit_late(tat, late, || ticks(now_ns), cost, config.limit_ticks);
                let exact = admit(tat, ticks(now_ns), cost, config.limit_ticks);
                prop_assert!(next.is_some() || exact.is_none());
                if let Some(next) = next {
                    tat = next;
                    passed_bits += u128::from(bytes) * 8;
                }
            }
            let time_bits = u128::from(rate_bps) * u128::from(now_ns - start_ns + tick_ns) / 1_000_000_000;
            let allowed = time_bits + u128::from(burst_bits) + 65_000 * 8;
            prop_assert!(passed_bits <= allowed + allowed / 200, "{passed_bits} > {allowed}");
        }

        #[test]
        fn leases_add_one_of_each_cpu_to_the_burst_once_and_nothing_to_the_rate(
            rate_bps in 1_000_u64..400_000_000_000,
            burst_bits in 1_u64..1 << 40,
            left_over in proptest::collection::vec(any::<u64>(), 4),
            packets in proptest::collection::vec((0_usize..4, 60_u32..9_000, 0_u64..1_000_000), 1..400),
        ) {
            let config = config(rate_bps, burst_bits);
            let mut leases = left_over;
            let (mut tat, mut now_ns, mut passed_bits, start_ns) = (0, 1_u64 << 40, 0_u128, 1_u64 << 40);
            for (cpu, bytes, gap_ns) in packets {
                now_ns += gap_ns;
                let cost = cost_ticks(&config, bytes);
                if let Some(left) = spend(leases[cpu], cost, &config) {
                    leases[cpu] = left;
                } else if let Some((next, lease)) =
                    admit_leased(tat, ticks(now_ns), || ticks(now_ns), cost, &config)
                {
                    tat = next;
                    leases[cpu] = if lease == 0 { leases[cpu] } else { lease };
                } else {
                    continue;
                }
                passed_bits += u128::from(bytes) * 8;
            }
            let time_bits = u128::from(rate_bps) * u128::from(now_ns - start_ns) / 1_000_000_000;
            let leased_bits = u128::from(burst_bits) * 4 / 1024;
            let allowed = time_bits + u128::from(burst_bits) + leased_bits + 9_000 * 8;
            prop_assert!(passed_bits <= allowed + allowed / 200, "{passed_bits} > {allowed}");
        }

        #[test]
        fn a_lease_pays_for_its_packets_and_then_is_empty(rate_bps in 1_000_u64..400_000_000_000, bytes in 60_u32..9_000) {
            let config = config(rate_bps, 1 << 40);
            let cost = cost_ticks(&config, bytes);
            let now = ticks(1 << 40);
            let (tat, mut lease) = admit_leased(0, now, || now, cost, &config).expect("a full bucket");
            let mut packets = 1;
            while let Some(left) = spend(lease, cost, &config) {
                lease = left;
                packets += 1;
            }
            prop_assert!(tat.wrapping_sub(now) >= packets * cost, "{packets} packets for {}", tat.wrapping_sub(now));
            prop_assert!(lease < cost);
        }

        #[test]
        fn an_unlimited_wait_always_admits(bytes in 1_u32..MAX_BYTES, rate_bps in 1_000_u64..400_000_000_000) {
            let config = config(rate_bps, 1);
            prop_assert!(admit(0, ticks(1 << 50), cost_ticks(&config, bytes), config.limit_ticks).is_some());
        }
    }
}
