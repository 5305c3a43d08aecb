//! Replication of broadcast and multicast.

use aya_ebpf::helpers::bpf_clone_redirect;
use plexus_abi::{Direction, DropReason, MAX_MEMBERS, MembersKey, port_ifindex};

use super::{counters, fdb, maps::MEMBERS, policer, skb::Skb};
use crate::pure::wire::Wire;

/// No port: for frames that come from outside.
pub(crate) const NOBODY: u32 = u32::MAX;

/// Sends a copy to every member of a VLAN of a network, except to `sender`.
#[inline(always)]
pub(crate) fn to_members(skb: &Skb<'_>, network: u32, vlan: u16, sender: u32, wire: Wire) {
    // SAFETY: a list that changes meanwhile may show an old or a new member; each is checked below.
    let Some(members) = (unsafe { MEMBERS.get(&MembersKey { network, vlan, reserved: 0 }) }) else { return };
    for slot in 0..MAX_MEMBERS {
        if slot >= members.count as usize {
            break;
        }
        let Some(&member) = members.ports.get(slot) else { break };
        if member != sender {
            to_member(skb, network, vlan, member, wire);
        }
    }
}

#[inline(always)]
fn to_member(skb: &Skb<'_>, network: u32, vlan: u16, member: u32, wire: Wire) {
    // The slot of the list may have been given to another network between lookup and here.
    let Some(port) = fdb::port(member) else { return };
    if port.network != network || port.vlan != vlan {
        return;
    }
    if !policer::admit(member, Direction::ToPod, wire.bytes) {
        let _ = counters::drop(member, DropReason::PolicedToPod);
        return;
    }
    // SAFETY: a helper on the program's own context; no packet pointer is held across it.
    if unsafe { bpf_clone_redirect(skb.as_ptr(), port_ifindex(member), 0) } == 0 {
        counters::to_pod(member, wire);
    } else {
        let _ = counters::drop(member, DropReason::DeliveryFailed);
    }
}
