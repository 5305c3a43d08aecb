//! Counting, per port and CPU.

use plexus_abi::{Counters, Direction, DropReason, Verdict, hint_index};

use super::{
    maps::COUNTERS,
    seen::{self, Sight},
};
use crate::pure::wire::Wire;

/// What this CPU keeps of a port: found once for policing and counting.
pub(crate) struct Slot(&'static mut Counters);

impl Slot {
    /// The port's; nothing for an id that no port can have.
    #[inline(always)]
    pub(crate) fn of(port: u32) -> Option<Self> {
        // SAFETY: a per-CPU slot of a map that outlives the program; programs of one CPU run to their end one by one, and
        // no program uses a slot after it has found the same port's once more.
        COUNTERS.get_ptr_mut(port).map(|counters| Self(unsafe { &mut *counters }))
    }

    /// Counts frames delivered to the pod.
    #[inline(always)]
    pub(crate) fn count_to_pod(&mut self, wire: Wire) {
        self.0.rx_packets += u64::from(wire.packets);
        self.0.rx_bytes += u64::from(wire.bytes);
    }

    /// Counts frames accepted from the pod.
    #[inline(always)]
    pub(crate) fn count_from_pod(&mut self, wire: Wire) {
        self.0.tx_packets += u64::from(wire.packets);
        self.0.tx_bytes += u64::from(wire.bytes);
    }

    /// What the policer of a direction has paid ahead.
    #[inline(always)]
    pub(crate) fn lease(&mut self, direction: Direction) -> &mut u64 {
        &mut self.0.leases[direction as usize]
    }

    /// The port that frames for a MAC address went to, or another.
    #[inline(always)]
    pub(crate) fn hint(&mut self, mac: u64) -> &mut u32 {
        &mut self.0.hints[hint_index(mac)]
    }

    /// Counts a drop.
    #[inline(always)]
    fn dropped(&mut self, reason: DropReason) {
        if let Some(drops) = self.0.drops.get_mut(reason.slot()) {
            *drops += 1;
        }
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
    if let Some(mut slot) = Slot::of(port) {
        slot.dropped(reason);
    }
}
