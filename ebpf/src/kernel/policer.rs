//! Policing against the clock and the shared state.

use aya_ebpf::helpers::{bpf_ktime_get_coarse_ns, bpf_ktime_get_ns};
use plexus_abi::{Direction, policer_index};

use super::{
    maps::{POLICER_STATES, POLICERS},
    word::Word,
};
use crate::pure::gcra;

/// Attempts to store the new state while other CPUs do the same.
const MAX_ATTEMPTS: usize = 8;

/// When a packet is policed, in ticks: read at its first limited port, and the same for its second. The clock of the last
/// timer tick, because to read the exact one costs more than all arithmetic.
#[derive(Default)]
pub(crate) struct Moment(Option<u64>);

impl Moment {
    #[inline(always)]
    fn late_ticks(&mut self) -> u64 {
        // SAFETY: a helper without arguments.
        *self.0.get_or_insert_with(|| gcra::ticks(unsafe { bpf_ktime_get_coarse_ns() }))
    }
}

/// The same clock, exactly.
#[inline(always)]
fn exact_ticks() -> u64 {
    // SAFETY: a helper without arguments.
    gcra::ticks(unsafe { bpf_ktime_get_ns() })
}

/// Whether a packet of `bytes` may pass the port's policer at this moment; charges it if so.
#[inline(always)]
pub(crate) fn admit(port: u32, direction: Direction, bytes: u32, moment: &mut Moment) -> bool {
    let index = policer_index(port, direction);
    let Some(config) = POLICERS.get(index) else { return true };
    if config.cost_per_byte == 0 {
        return true;
    }
    let Some(state) = POLICER_STATES.get_ptr_mut(index) else { return true };
    // SAFETY: the only u64 of a map value; nothing else here touches the map.
    let tat = unsafe { Word::new(state.cast()) };
    let late = moment.late_ticks();
    let cost = gcra::cost_ticks(config, bytes);
    let mut seen = tat.load();
    for _ in 0..MAX_ATTEMPTS {
        let Some(next) = gcra::admit_late(seen, late, exact_ticks, cost, config.limit_ticks) else {
            return false;
        };
        match tat.replace(seen, next) {
            Ok(()) => return true,
            Err(stored) => seen = stored,
        }
    }
    // Every lost attempt was another CPU's packet. Charge without looking again: the burst may be exceeded by a few
    // packets, the rate never is.
    tat.add(cost);
    true
}
