//! Earliest departure time: when a packet may leave, on the same word of state as [`gcra`](super::gcra).
//!
//! What a policer would drop waits in the device's fq instead. The queue is short: packets that can be marked are marked
//! when it grows (ECN), and what would wait longer than the horizon is dropped.

use plexus_abi::{PolicerConfig, TICKS_PER_NS_SHIFT};

use super::gcra;

/// A full Ethernet frame without FCS.
const FULL_FRAME_BYTES: u32 = 1514;
/// What may wait at any rate.
const HORIZON_TICKS: u64 = gcra::ticks(50_000_000);
/// And so many frames at a low one, of which a TCP sender needs some to keep the rate.
const HORIZON_FRAMES: u32 = 64;
/// Packets are marked when they wait longer than this, and longer than a few frames take.
const MARK_TICKS: u64 = gcra::ticks(5_000_000);
const MARK_FRAMES: u32 = 8;

/// When a packet leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The new theoretical arrival time.
    pub tat_ticks: u64,
    /// How long it waits.
    pub delay_ticks: u64,
}

/// The departure of a packet of `cost_ticks` that comes at `now_ticks`: at once while the burst lasts, else when the rate
/// allows it; nothing if that is beyond the horizon.
#[inline]
pub const fn depart(
    tat_ticks: u64,
    now_ticks: u64,
    cost_ticks: u64,
    limit_ticks: u64,
    horizon_ticks: u64,
) -> Option<Departure> {
    let backlog = gcra::backlog(tat_ticks, now_ticks);
    // As in `gcra::admit`: a full bucket lets a packet of any size pass on credit.
    let delay_ticks = backlog.saturating_sub(limit_ticks.saturating_sub(cost_ticks));
    if delay_ticks > horizon_ticks {
        return None;
    }
    Some(Departure { tat_ticks: now_ticks.wrapping_add(backlog).wrapping_add(cost_ticks), delay_ticks })
}

/// Longest wait at the configured rate.
#[inline]
pub const fn horizon_ticks(config: &PolicerConfig) -> u64 {
    at_least(HORIZON_TICKS, gcra::cost_ticks(config, HORIZON_FRAMES * FULL_FRAME_BYTES))
}

/// The wait from which packets are marked at the configured rate.
#[inline]
pub const fn mark_ticks(config: &PolicerConfig) -> u64 {
    at_least(MARK_TICKS, gcra::cost_ticks(config, MARK_FRAMES * FULL_FRAME_BYTES))
}

/// Ticks as nanoseconds.
#[inline]
pub const fn nanoseconds(ticks: u64) -> u64 {
    ticks >> TICKS_PER_NS_SHIFT
}

#[inline]
const fn at_least(one: u64, other: u64) -> u64 {
    if one > other { one } else { other }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    fn config(rate_bps: u64, burst_bits: u64) -> PolicerConfig {
        let cost = (8_000_000_000_u128 << plexus_abi::COST_SHIFT).div_ceil(u128::from(rate_bps));
        let limit = u128::from(burst_bits) * u128::from(gcra::ticks(SECOND_NS)) / u128::from(rate_bps);
        PolicerConfig {
            cost_per_byte: cost.try_into().expect("below 2^43"),
            limit_ticks: limit.try_into().expect("below 2^62"),
            rate_bps,
            burst_bits,
        }
    }

    /// Sends `packets` of `bytes`, one every `gap_ns`: when those leave that are not dropped, in nanoseconds.
    fn send(config: &PolicerConfig, bytes: u32, gap_ns: u64, packets: u64) -> Vec<u64> {
        let (mut tat, start) = (0, SECOND_NS);
        let cost = gcra::cost_ticks(config, bytes);
        let mut departures = Vec::new();
        for packet in 0..packets {
            let now_ns = start + packet * gap_ns;
            let depart = depart(tat, gcra::ticks(now_ns), cost, config.limit_ticks, horizon_ticks(config));
            if let Some(departure) = depart {
                tat = departure.tat_ticks;
                departures.push(now_ns + nanoseconds(departure.delay_ticks) - start);
            }
        }
        departures
    }

    #[test]
    fn twice_the_rate_leaves_evenly_and_the_rest_is_dropped() {
        let departures = send(&config(8_000_000, 8_000), 1000, 500_000, 4_000);
        let tail = &departures[departures.len() / 2..];
        assert!(tail.windows(2).all(|pair| (999_000..=1_001_000).contains(&(pair[1] - pair[0]))));
        assert!(departures.len() < 2_200, "{} packets in two seconds", departures.len());
    }

    #[test]
    fn the_burst_leaves_at_once() {
        let departures = send(&config(8_000_000, 80_000), 1000, 0, 12);
        assert_eq!(departures.iter().filter(|at| **at == 0).count(), 10);
        assert_eq!(nanoseconds(gcra::ticks(departures[10])) / 1_000, 1_000);
    }

    #[test]
    fn a_slow_port_has_room_for_frames_and_a_fast_one_for_time() {
        assert_eq!(nanoseconds(horizon_ticks(&config(1 << 33, 1))), 50_000_000);
        let slow = config(1_000_000, 1);
        assert!(nanoseconds(horizon_ticks(&slow)) > 770_000_000);
        assert!(mark_ticks(&slow) < horizon_ticks(&slow));
    }

    proptest! {
        #[test]
        fn nothing_leaves_faster_than_rate_and_burst(
            rate_bps in 1_000_u64..100_000_000_000,
            burst_bits in 1_u64..1 << 31,
            packets in proptest::collection::vec((60_u32..65_000, 0_u64..10_000_000), 1..300),
        ) {
            let config = config(rate_bps, burst_bits);
            let (mut tat, mut now_ns, mut sent) = (0, 1_u64 << 40, Vec::new());
            for (bytes, gap_ns) in packets {
                now_ns += gap_ns;
                let cost = gcra::cost_ticks(&config, bytes);
                if let Some(departure) = depart(tat, gcra::ticks(now_ns), cost, config.limit_ticks, horizon_ticks(&config)) {
                    prop_assert!(departure.delay_ticks <= horizon_ticks(&config));
                    tat = departure.tat_ticks;
                    sent.push((now_ns + nanoseconds(departure.delay_ticks), bytes));
                }
            }
            let Some((first_ns, _)) = sent.first().copied() else { return Ok(()) };
            let mut bits = 0_u128;
            for (at_ns, bytes) in sent {
                bits += u128::from(bytes) * 8;
                let time_bits = u128::from(rate_bps) * u128::from(at_ns - first_ns + 1) / u128::from(SECOND_NS);
                let allowed = time_bits + u128::from(burst_bits) + 2 * 65_000 * 8;
                prop_assert!(bits <= allowed + allowed / 200, "{bits} > {allowed}");
            }
        }

        #[test]
        fn what_a_policer_admits_leaves_at_once(tat in 0_u64..1 << 50, now in 0_u64..1 << 50, cost in 0_u64..1 << 40, limit in 0_u64..1 << 40) {
            let departure = depart(tat, now, cost, limit, u64::MAX);
            match (gcra::admit(tat, now, cost, limit), departure) {
                (Some(next), Some(departure)) => {
                    prop_assert_eq!((next, 0), (departure.tat_ticks, departure.delay_ticks));
                }
                (None, Some(departure)) => prop_assert!(departure.delay_ticks > 0),
                (_, None) => prop_assert!(false, "without a horizon everything leaves"),
            }
        }
    }
}
