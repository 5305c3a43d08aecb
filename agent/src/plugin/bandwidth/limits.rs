//! The limits that a config asks for.

use plexus_cni::{CniError, Code};
use serde::Deserialize;
use serde_json::Value;

use super::PluginCall;
use crate::record::Rate;

/// Rates in bits per second and bursts in bits; 0 where there is none.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Limits {
    #[serde(default)]
    ingress_rate: u64,
    #[serde(default)]
    ingress_burst: u64,
    #[serde(default)]
    egress_rate: u64,
    #[serde(default)]
    egress_burst: u64,
}

/// What runtimes pass for kubernetes.io/ingress-bandwidth and egress-bandwidth, which have no burst: containerd and
/// cri-dockerd, CRI-O. As bursts they would let the first seconds pass without a limit.
const NO_BURST_BITS: [u64; 3] = [i32::MAX as u64, u32::MAX as u64, BURST_BITS_MAX - 1];
/// The policer's range, in bits per second.
const RATE_BPS: std::ops::RangeInclusive<u64> = 1_000..=400_000_000_000;
/// Largest burst that the reference accepts: 4 GiB in bytes as a 32-bit number, in bits.
const BURST_BITS_MAX: u64 = (u32::MAX as u64) * 8;

impl Limits {
    /// Inline limits, or those of the runtime where there are any (the reference's precedence).
    pub(super) fn of(call: &PluginCall<'_>) -> Result<Self, CniError> {
        let runtime =
            call.runtime_config()?.and_then(|runtime| runtime.get("bandwidth")).and_then(Value::as_object);
        let limits: Self = match runtime {
            Some(bandwidth) if !bandwidth.is_empty() => {
                plexus_cni::json::typed::<Self>(bandwidth, "bandwidth: runtimeConfig.bandwidth")?.of_runtime()
            }
            _ => call.config.typed()?,
        };
        limits.check()?;
        Ok(limits)
    }

    /// Without the bursts that stand for none.
    fn of_runtime(mut self) -> Self {
        for burst in [&mut self.ingress_burst, &mut self.egress_burst] {
            if NO_BURST_BITS.contains(burst) {
                *burst = 0;
            }
        }
        self
    }

    pub(super) fn check(&self) -> Result<(), CniError> {
        for (direction, rate, burst) in [
            ("ingress", self.ingress_rate, self.ingress_burst),
            ("egress", self.egress_rate, self.egress_burst),
        ] {
            let wrong = |key: &str, value: u64, why: String| {
                Err(CniError::new(
                    Code::InvalidConfig,
                    format!("bandwidth: key \"{direction}{key}\" is {value}"),
                )
                .because(why))
            };
            if rate == 0 && burst != 0 {
                return wrong("Burst", burst, format!("a burst needs {direction}Rate"));
            }
            if rate != 0 && !RATE_BPS.contains(&rate) {
                return wrong(
                    "Rate",
                    rate,
                    format!("it must be {} to {} bits per second", RATE_BPS.start(), RATE_BPS.end()),
                );
            }
            if burst > BURST_BITS_MAX {
                return wrong("Burst", burst, format!("it must be at most {BURST_BITS_MAX} bits"));
            }
        }
        Ok(())
    }

    /// To the pod.
    pub(super) fn ingress(&self) -> Option<Rate> {
        limit(self.ingress_rate, self.ingress_burst, policed_burst_bits)
    }

    /// From the pod.
    pub(super) fn egress(&self, is_shaped: bool) -> Option<Rate> {
        let default = if is_shaped { shaped_burst_bits } else { policed_burst_bits };
        limit(self.egress_rate, self.egress_burst, default)
    }
}

/// A rate with its burst, or `default_bits` of it where the burst is left out.
fn limit(rate_bps: u64, burst_bits: u64, default_bits: fn(u64) -> u64) -> Option<Rate> {
    let burst_bits = if burst_bits == 0 { default_bits(rate_bps) } else { burst_bits };
    (rate_bps != 0).then_some(Rate { rate_bps, burst_bits })
}

/// 250 ms of the rate. The first second is no flood, and TCP keeps the rate: what it loses to an empty bucket it sends again
/// after 200 ms (Linux' `TCP_RTO_MIN`), and a bucket that is full earlier wastes the rest of that wait.
const fn policed_burst_bits(rate_bps: u64) -> u64 {
    rate_bps / 4
}

/// 10 ms of the rate, and ten full frames at least: a shaper loses nothing that a burst would have to make up for.
fn shaped_burst_bits(rate_bps: u64) -> u64 {
    (rate_bps / 100).max(10 * 1514 * 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_left_out_follows_from_the_rate_and_a_given_one_counts() {
        let limits = Limits { ingress_rate: 8_000_000, egress_rate: 80_000_000, ..Limits::default() };
        assert_eq!(limits.ingress().unwrap().burst_bits, 2_000_000);
        assert_eq!(limits.egress(false).unwrap().burst_bits, 20_000_000);
        assert_eq!(limits.egress(true).unwrap().burst_bits, 800_000);
        let slow = Limits { egress_rate: 1_000, ..limits };
        assert_eq!(slow.egress(true).unwrap().burst_bits, 121_120);
        let given = Limits { egress_burst: 5, ..limits };
        assert_eq!([true, false].map(|is_shaped| given.egress(is_shaped).unwrap().burst_bits), [5, 5]);
    }

    #[test]
    fn what_runtimes_pass_for_no_burst_is_none() {
        for burst in [2_147_483_647, 4_294_967_295, 34_359_738_359] {
            let limits = Limits { ingress_rate: 1_000_000, ingress_burst: burst, ..Limits::default() };
            assert_eq!(limits.of_runtime().ingress().unwrap().burst_bits, 250_000);
        }
    }
}
