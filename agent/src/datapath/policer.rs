//! From a rate and a burst to what the programs multiply with.

use plexus_abi::{COST_SHIFT, Direction, PolicerConfig, PolicerState, TICKS_PER_NS_SHIFT, policer_index};

use super::{
    error::{DatapathError, Result},
    maps::{Maps, Table},
    spec::PolicerSpec,
};

/// Rates outside lose precision or overflow in the programs' arithmetic.
const MIN_RATE_BPS: u64 = 1_000;
const MAX_RATE_BPS: u64 = 400_000_000_000;

/// Longest burst, in ticks: half of the clock's signed range.
const MAX_LIMIT_TICKS: u128 = 1 << 62;

const NS_PER_SECOND: u128 = 1_000_000_000;

/// The programs' view of a policer; all zero for none.
pub(super) fn to_config(port: u32, spec: Option<PolicerSpec>) -> Result<PolicerConfig> {
    let Some(PolicerSpec { rate_bps, burst_bits }) = spec.filter(|spec| spec.rate_bps != 0) else {
        return Ok(PolicerConfig::ZERO);
    };
    if !(MIN_RATE_BPS..=MAX_RATE_BPS).contains(&rate_bps) {
        let reason = format!(
            "rate {rate_bps} bit/s is not between {MIN_RATE_BPS} and {MAX_RATE_BPS}; correct the bandwidth"
        );
        return Err(DatapathError::Port { port, reason });
    }
    if burst_bits == 0 {
        let reason = format!("the burst of rate {rate_bps} bit/s is 0; set a burst of at least one packet");
        return Err(DatapathError::Port { port, reason });
    }
    let rate = u128::from(rate_bps);
    let cost = ((8 * NS_PER_SECOND) << COST_SHIFT).div_ceil(rate);
    let limit =
        (((u128::from(burst_bits) * NS_PER_SECOND) << TICKS_PER_NS_SHIFT) / rate).min(MAX_LIMIT_TICKS);
    let (Ok(cost_per_byte), Ok(limit_ticks)) = (u64::try_from(cost), u64::try_from(limit)) else {
        let reason =
            format!("rate {rate_bps} bit/s with burst {burst_bits} bit overflows; correct the bandwidth");
        return Err(DatapathError::Port { port, reason });
    };
    Ok(PolicerConfig { cost_per_byte, limit_ticks, rate_bps, burst_bits })
}

/// Installs a policer. What the old one still had to wait for is kept, in bytes, so that a change of rate gives no
/// free burst and does not make a fast port wait as long as a slow one.
pub(super) fn install(maps: &mut Maps, port: u32, direction: Direction, new: PolicerConfig) -> Result<()> {
    let index = policer_index(port, direction);
    change(&mut maps.policers, &mut maps.policer_states, index, new)
}

/// The same for the shaper of a port.
pub(super) fn install_shaper(maps: &mut Maps, port: u32, new: PolicerConfig) -> Result<()> {
    change(&mut maps.shapers, &mut maps.shaper_states, port, new)
}

fn change(
    configs: &mut Table<PolicerConfig>,
    states: &mut Table<PolicerState>,
    index: u32,
    new: PolicerConfig,
) -> Result<()> {
    let old = configs.get(index)?;
    if old == new {
        return Ok(());
    }
    let state = states.get(index)?;
    states.set(index, rescale(state, &old, &new, now_ticks()?))?;
    configs.set(index, new)
}

/// Removes a policer and its state.
pub(super) fn clear(maps: &mut Maps, port: u32, direction: Direction) -> Result<()> {
    let index = policer_index(port, direction);
    maps.policers.set(index, PolicerConfig::ZERO)?;
    maps.policer_states.set(index, PolicerState::ZERO)
}

/// What is configured for a direction.
pub(super) fn read(maps: &Maps, port: u32, direction: Direction) -> Result<Option<PolicerSpec>> {
    let config = maps.policers.get(policer_index(port, direction))?;
    Ok((config.rate_bps != 0)
        .then_some(PolicerSpec { rate_bps: config.rate_bps, burst_bits: config.burst_bits }))
}

fn rescale(state: PolicerState, old: &PolicerConfig, new: &PolicerConfig, now_ticks: u64) -> PolicerState {
    if old.cost_per_byte == 0 || new.cost_per_byte == 0 {
        return PolicerState { tat_ticks: now_ticks };
    }
    let ahead = state.tat_ticks.wrapping_sub(now_ticks);
    let backlog = if ahead.cast_signed() < 0 { 0 } else { ahead };
    let scaled = u128::from(backlog) * u128::from(new.cost_per_byte) / u128::from(old.cost_per_byte);
    let backlog = u64::try_from(scaled.min(MAX_LIMIT_TICKS)).unwrap_or(new.limit_ticks);
    PolicerState { tat_ticks: now_ticks.wrapping_add(backlog) }
}

/// The clock of the programs: monotonic nanoseconds as ticks.
fn now_ticks() -> Result<u64> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .map_err(super::error::map_error("POLICER_STATES", "read the clock for"))?;
    let seconds = now.tv_sec().cast_unsigned().wrapping_mul(1_000_000_000);
    Ok(seconds.wrapping_add(now.tv_nsec().cast_unsigned()) << TICKS_PER_NS_SHIFT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(rate_bps: u64, burst_bits: u64) -> PolicerConfig {
        to_config(0, Some(PolicerSpec { rate_bps, burst_bits })).expect("a valid policer")
    }

    #[test]
    fn no_rate_means_no_policer() {
        let none = Some(PolicerSpec { rate_bps: 0, burst_bits: 0 });
        assert_eq!(to_config(0, none).expect("valid"), PolicerConfig::ZERO);
        assert_eq!(to_config(0, None).expect("valid"), PolicerConfig::ZERO);
    }

    #[test]
    fn rates_and_bursts_outside_the_limits_are_refused_with_the_number() {
        for (rate_bps, burst_bits) in [(999, 1), (MAX_RATE_BPS + 1, 1), (1_000_000, 0)] {
            let error = to_config(3, Some(PolicerSpec { rate_bps, burst_bits })).expect_err("refused");
            assert!(error.to_string().contains(&rate_bps.to_string()), "{error}");
        }
    }

    #[test]
    fn a_byte_costs_eight_bits_of_the_rate() {
        assert_eq!(config(8_000_000_000, 8).cost_per_byte, 1 << COST_SHIFT);
        assert_eq!(config(1_000_000_000, 1_000_000_000).limit_ticks, 1_000_000_000 << TICKS_PER_NS_SHIFT);
        assert!(config(MIN_RATE_BPS, 8).cost_per_byte < 1 << 43, "the programs rely on this bound");
        assert!(config(MIN_RATE_BPS, u64::MAX).limit_ticks <= 1 << 62);
    }

    #[test]
    fn a_new_rate_keeps_the_backlog_in_bytes() {
        let (slow, fast) = (config(1_000_000, 8_000_000), config(10_000_000, 8_000_000));
        let state = PolicerState { tat_ticks: 1_000_000 + 50_000 };
        let state = rescale(state, &slow, &fast, 1_000_000);
        assert_eq!(state.tat_ticks, 1_000_000 + 5_000);
    }

    #[test]
    fn an_idle_policer_stays_idle_when_the_rate_changes() {
        let (slow, fast) = (config(1_000_000, 8), config(10_000_000, 8));
        let state = rescale(PolicerState { tat_ticks: 5 }, &slow, &fast, 1_000_000);
        assert_eq!(state.tat_ticks, 1_000_000);
    }
}
