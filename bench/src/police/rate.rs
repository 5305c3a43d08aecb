//! A limit, and what a flood against it delivered.

use std::time::Duration;

/// What a pod may receive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// In names of arms.
    pub(super) label: &'static str,
    /// Bits per second.
    pub(super) bps: u64,
}

const fn rate(label: &'static str, bps: u64) -> Rate {
    Rate { label, bps }
}

/// Against UDP.
pub(super) const UDP: [Rate; 5] = [
    rate("1M", 1_000_000),
    rate("10M", 10_000_000),
    rate("100M", 100_000_000),
    rate("1G", 1_000_000_000),
    rate("5G", 5_000_000_000),
];
/// Against TCP.
pub(super) const TCP: [Rate; 3] =
    [rate("10M", 10_000_000), rate("100M", 100_000_000), rate("1G", 1_000_000_000)];
/// Of TCP through a shaper: what an emulated machine carries too.
pub(super) const SHAPED: [Rate; 3] =
    [rate("1M", 1_000_000), rate("10M", 10_000_000), rate("50M", 50_000_000)];
/// The one of them under which packets wait.
pub(super) const SHAPED_LATENCY: Rate = SHAPED[1];
/// Under which packets wait.
pub(super) const LATENCY: Rate = rate("100M", 100_000_000);
/// On several CPUs.
pub(super) const MANY_CPUS: Rate = rate("1G", 1_000_000_000);
/// Where the burst is left to the plugin.
pub(super) const DEFAULT_BURST: Rate = rate("10M", 10_000_000);

impl Rate {
    /// 50 ms of the rate.
    pub(super) const fn burst_bits(self) -> u64 {
        self.bps / 20
    }

    /// 10 ms of the rate, and ten full frames at least: what `bandwidth` takes by itself where it shapes.
    pub(super) fn shaped_burst_bits(self) -> u64 {
        (self.bps / 100).max(10 * 1514 * 8)
    }

    /// 250 ms of the rate: what a policer needs, not to starve a TCP that waits 200 ms before it repeats what was lost.
    pub(super) const fn tcp_burst_bits(self) -> u64 {
        self.bps / 4
    }
}

/// Bits that had arrived at two moments after the start of a flood.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivered {
    /// When, and how many: about one second after the start.
    pub(super) first: (Duration, u64),
    /// The same at the end.
    pub(super) last: (Duration, u64),
}

#[expect(clippy::cast_precision_loss, reason = "bits of an hour at 5 Gbit/s are below 2^53")]
impl Delivered {
    /// Rate after the first second, in bits per second.
    pub(super) fn bps(self) -> f64 {
        let (time, bits) =
            (self.last.0.saturating_sub(self.first.0), self.last.1.saturating_sub(self.first.1));
        bits as f64 / time.as_secs_f64().max(1e-9)
    }

    /// How far that rate is from the limit, in percent.
    pub(super) fn error_percent(self, rate: Rate) -> f64 {
        (self.bps() / rate.bps as f64 - 1.0) * 100.0
    }

    /// What came in the first second beyond rate and burst, in percent of a second at the rate; below 0 if less came.
    pub(super) fn first_excess_percent(self, rate: Rate, burst_bits: u64) -> f64 {
        let allowed = rate.bps as f64 * self.first.0.as_secs_f64() + burst_bits as f64;
        (self.first.1 as f64 - allowed) / rate.bps as f64 * 100.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEGABIT: Rate = rate("1M", 1_000_000);

    #[test]
    fn a_rate_that_is_kept_has_no_error_and_no_excess() {
        let seen = Delivered {
            first: (Duration::from_secs(1), 1_050_000),
            last: (Duration::from_secs(11), 11_050_000),
        };
        assert!(seen.error_percent(MEGABIT).abs() < 1e-9);
        assert!(seen.first_excess_percent(MEGABIT, MEGABIT.burst_bits()).abs() < 1e-9);
    }

    #[test]
    fn too_much_is_positive_and_too_little_negative() {
        let seen = Delivered {
            first: (Duration::from_secs(1), 2_050_000),
            last: (Duration::from_secs(2), 2_950_000),
        };
        assert!((seen.error_percent(MEGABIT) + 10.0).abs() < 1e-6);
        assert!((seen.first_excess_percent(MEGABIT, MEGABIT.burst_bits()) - 100.0).abs() < 1e-6);
    }
}
