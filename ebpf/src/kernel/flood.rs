//! Replication of broadcast and multicast.

use core::ffi::{c_long, c_void};

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::{bpf_clone_redirect, bpf_loop},
};
use plexus_abi::{Direction, DropReason, MAX_MEMBERS, Members, MembersKey, port_ifindex};

use super::{
    counters::{self, Slot},
    fdb,
    maps::MEMBERS,
    policer::{self, Moment},
    seen,
    skb::Skb,
};
use crate::pure::wire::Wire;

/// No port: for frames that come from outside.
pub(crate) const NOBODY: u32 = u32::MAX;

const CONTINUE: c_long = 0;
const STOP: c_long = 1;

/// What every round of the replication needs.
struct Round {
    skb: *mut __sk_buff,
    members: *const Members,
    network: u32,
    sender: u32,
    wire: Wire,
    vlan: u16,
}

/// Sends a copy to every member of a VLAN of a network, except to `sender`.
#[inline(always)]
pub(crate) fn to_members(skb: &Skb<'_>, network: u32, vlan: u16, sender: u32, wire: Wire) {
    let Some(members) = MEMBERS.get_ptr(MembersKey { network, vlan, reserved: 0 }) else { return };
    // SAFETY: the value outlives the program. A list that changes meanwhile may show an old or a new member; each is
    // checked before it gets anything.
    let count = unsafe { (*members).count };
    let mut round = Round { skb: skb.as_ptr(), members, network, sender, wire, vlan };
    // A helper's loop, not the language's: the verifier walks its body once instead of once per member.
    // SAFETY: `to_member` has the signature that the helper calls, and `round` lives until it returns.
    unsafe { bpf_loop(count, to_member as *mut c_void, (&raw mut round).cast(), 0) };
}

/// One round of the helper's loop.
///
/// # Safety
/// `round` is the `Round` that `to_members` passed.
unsafe extern "C" fn to_member(slot: u64, round: *mut c_void) -> c_long {
    // SAFETY: see above.
    let round = unsafe { &*round.cast::<Round>() };
    if slot >= MAX_MEMBERS as u64 {
        return STOP;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the slot is small, and BPF has 64 bits")]
    // SAFETY: the slot is in bounds of a map value.
    let member = unsafe { *(&raw const (*round.members).ports).cast::<u32>().add(slot as usize) };
    if member != round.sender {
        deliver(round, member);
    }
    CONTINUE
}

#[inline(always)]
fn deliver(round: &Round, member: u32) {
    // The slot of the list may have been given to another network between lookup and here.
    let Some(port) = fdb::port(member) else { return };
    if port.network != round.network || port.vlan != round.vlan {
        return;
    }
    // SAFETY: the context of the program that runs this loop.
    let skb = unsafe { Skb::of(round.skb) };
    let Some(mut slot) = Slot::of(member) else { return };
    if !policer::admit(&mut slot, member, Direction::ToPod, round.wire.bytes, &mut Moment::default()) {
        counters::dropped(&skb, member, DropReason::PolicedToPod);
        return;
    }
    seen::to_pod(&skb, member, port);
    // SAFETY: a helper on the program's own context; no packet pointer is held across it.
    if unsafe { bpf_clone_redirect(round.skb, port_ifindex(member), 0) } == 0 {
        slot.count_to_pod(round.wire);
    } else {
        counters::dropped(&skb, member, DropReason::DeliveryFailed);
    }
}
