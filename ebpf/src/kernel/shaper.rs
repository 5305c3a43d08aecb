//! Shaping by earliest departure time, where fq stands on the device behind the program.

use aya_ebpf::{
    helpers::{bpf_ktime_get_ns, bpf_skb_ecn_set_ce},
    programs::TcContext,
};
use plexus_abi::{Direction, DropReason, PolicerConfig, PolicerState, Verdict, policer_index};

use super::{
    counters, gate,
    maps::{POLICER_STATES, POLICERS, SHAPER_STATES, SHAPERS},
    skb::Skb,
    tap,
    word::Word,
};
use crate::pure::{edt, gcra};

/// Attempts to store the new state while other CPUs do the same.
const MAX_ATTEMPTS: usize = 8;

/// What leaves the pod's end of a veth; the port's own programs are at the other end.
#[inline(always)]
pub fn leave(ctx: &TcContext) -> Verdict {
    let skb = Skb::new(ctx);
    let port = gate::named_port(ctx);
    let Some((config, state)) = SHAPERS.get(port).zip(SHAPER_STATES.get_ptr_mut(port)) else {
        return Verdict::Pass;
    };
    if pace(&skb, config, state, tap::wire(&skb).bytes) {
        Verdict::Pass
    } else {
        counters::drop(&skb, port, DropReason::ShapedHorizon)
    }
}

/// Gives a frame of `bytes` from a tapped port its time, in place of its policer; `false` if it would wait too long.
#[inline(always)]
pub(crate) fn pace_port(skb: &Skb<'_>, port: u32, bytes: u32) -> bool {
    let index = policer_index(port, Direction::FromPod);
    match POLICERS.get(index).zip(POLICER_STATES.get_ptr_mut(index)) {
        Some((config, state)) => pace(skb, config, state, bytes),
        None => true,
    }
}

/// Gives a frame of `bytes` its time, and charges it; `false` if it would wait beyond the horizon.
#[inline(always)]
fn pace(skb: &Skb<'_>, config: &PolicerConfig, state: *mut PolicerState, bytes: u32) -> bool {
    if config.cost_per_byte == 0 {
        return true;
    }
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
