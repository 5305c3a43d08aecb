//! Policing against the clock and the shared state.

use aya_ebpf::helpers::{bpf_ktime_get_coarse_ns, bpf_ktime_get_ns};
use plexus_abi::{Direction, PolicerConfig, policer_index};

use super::{
    counters::Slot,
    maps::{POLICER_STATES, POLICERS},
    word::Word,
};
use crate::pure::gcra;

/// Attempts to store the new state while other CPUs do the same.
const MAX_ATTEMPTS: usize = 8;

/// When a packet is policed, in ticks: read at the first limited port whose lease does not pay, and the same for its
/// second. The clock of the last timer tick, because to read the exact one costs more than all arithmetic.
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

/// Whether a packet of `bytes` may pass the port's policer at this moment; charges it if so. `slot` is the port's.
#[inline(always)]
pub(crate) fn admit(
    slot: &mut Slot,
    port: u32,
    direction: Direction,
    bytes: u32,
    moment: &mut Moment,
) -> bool {
    let index = policer_index(port, direction);
    let Some(config) = POLICERS.get(index) else { return true };
    if config.cost_per_byte == 0 {
        return true;
    }
    let lease = slot.lease(direction);
    let cost = gcra::cost_ticks(config, bytes);
    match gcra::spend(*lease, cost, config) {
        Some(left) => {
            *lease = left;
            true
        }
        None => charge(lease, index, config, cost, moment.late_ticks()) != 0,
    }
}

/// Charges the state that all CPUs share, and takes a lease if there is room for one; 0 if the packet may not pass.
///
/// A function of its own: eight attempts are long, and seldom run far from the limit.
#[inline(never)]
fn charge(lease: &mut u64, index: u32, config: &PolicerConfig, cost: u64, late: u64) -> u32 {
    let Some(state) = POLICER_STATES.get_ptr_mut(index) else { return 1 };
    // SAFETY: the only u64 of a map value; nothing else here touches the map.
    let tat = unsafe { Word::new(state.cast()) };
    let mut seen = tat.load();
    for _ in 0..MAX_ATTEMPTS {
        let Some((next, leased)) = gcra::admit_leased(seen, late, exact_ticks, cost, config) else {
            return 0;
        };
        match tat.replace(seen, next) {
            Ok(()) => {
                if leased != 0 {
                    *lease = leased;
                }
                return 1;
            }
            Err(stored) => seen = stored,
        }
    }
    // Every lost attempt was another CPU's packet. Charge without looking again: the burst may be exceeded by a few
    // packets, the rate never is.
    tat.add(cost);
    1
}
