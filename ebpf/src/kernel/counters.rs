//! Counting, per port and CPU.

use plexus_abi::{Counters, DropReason, Verdict};

use super::{
    maps::COUNTERS,
    seen::{self, Sight},
};
use crate::pure::wire::Wire;

/// Counts frames delivered to the pod.
#[inline(always)]
pub(crate) fn to_pod(port: u32, wire: Wire) {
    if let Some(counters) = slot(port) {
        counters.rx_packets += u64::from(wire.packets);
        counters.rx_bytes += u64::from(wire.bytes);
    }
}

/// Counts frames accepted from the pod.
#[inline(always)]
pub(crate) fn from_pod(port: u32, wire: Wire) {
    if let Some(counters) = slot(port) {
        counters.tx_packets += u64::from(wire.packets);
        counters.tx_bytes += u64::from(wire.bytes);
    }
}

/// Counts a drop, shows it to whoever follows drops, and returns its verdict.
#[inline(always)]
pub(crate) fn drop<S: Sight>(frame: &S, port: u32, reason: DropReason) -> Verdict {
    dropped(frame, port, reason);
    Verdict::Drop(reason)
}

/// The same for one copy among others.
#[inline(always)]
pub(crate) fn dropped<S: Sight>(frame: &S, port: u32, reason: DropReason) {
    seen::dropped(frame, port, reason);
    if let Some(counters) = slot(port)
        && let Some(drops) = counters.drops.get_mut(reason.slot())
    {
        *drops += 1;
    }
}

#[inline(always)]
fn slot(port: u32) -> Option<&'static mut Counters> {
    // SAFETY: a per-CPU slot of a map that outlives the program; programs of one CPU run to their end one by one.
    COUNTERS.get_ptr_mut(port).map(|counters| unsafe { &mut *counters })
}
