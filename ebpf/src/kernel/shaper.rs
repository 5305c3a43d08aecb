//! Shaping by earliest departure time, where fq stands on the device behind the program.

use aya_ebpf::helpers::{bpf_ktime_get_ns, bpf_skb_ecn_set_ce};
use plexus_abi::{Direction, policer_index};

use super::{
    maps::{POLICER_STATES, POLICERS},
    skb::Skb,
    word::Word,
};
use crate::pure::{edt, gcra};

/// Attempts to store the new state while other CPUs do the same.
const MAX_ATTEMPTS: usize = 8;

/// Gives a frame of `bytes` from the port its time, and charges it; `false` if it would wait beyond the horizon.
#[inline(always)]
pub(crate) fn pace(skb: &Skb<'_>, port: u32, bytes: u32) -> bool {
    let index = policer_index(port, Direction::FromPod);
    let Some(config) = POLICERS.get(index) else { return true };
    if config.cost_per_byte == 0 {
        return true;
    }
    let Some(state) = POLICER_STATES.get_ptr_mut(index) else { return true };
    // SAFETY: the only u64 of a map value; the policer touches it in the same way.
    let tat = unsafe { Word::new(state.cast()) };
    // SAFETY: a helper without arguments.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    let now = gcra::ticks(now_ns);
    let (cost, horizon) = (gcra::cost_ticks(config, bytes), edt::horizon_ticks(config));
    let mut seen = tat.load();
    let mut delay_ticks = horizon;
    let mut is_stored = false;
    for _ in 0..MAX_ATTEMPTS {
        let Some(departure) = edt::depart(seen, now, cost, config.limit_ticks, horizon) else { return false };
        delay_ticks = departure.delay_ticks;
        match tat.replace(seen, departure.tat_ticks) {
            Ok(()) => {
                is_stored = true;
                break;
            }
            Err(stored) => seen = stored,
        }
    }
    if !is_stored {
        // Every lost attempt was another CPU's packet: charge without looking, at the time seen last.
        tat.add(cost);
    }
    if delay_ticks > 0 {
        skb.leave_at(now_ns.wrapping_add(edt::nanoseconds(delay_ticks)));
    }
    if delay_ticks > edt::mark_ticks(config) {
        // SAFETY: a helper on the program's own context; it leaves alone what cannot be marked.
        unsafe { bpf_skb_ecn_set_ce(skb.as_ptr()) };
    }
    true
}
