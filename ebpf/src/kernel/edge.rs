//! An access port for a machine on a trunk whose kernel has no VLAN devices.

use aya_ebpf::programs::TcContext;
use plexus_abi::{DropReason, Verdict};

use super::{maps::EDGE_VLAN, skb::Skb, vlan};
use crate::pure::ethernet::{Ethernet, Tag};

/// Tags a frame that the machine sends.
#[inline(always)]
pub fn push(ctx: &TcContext) -> Verdict {
    if vlan::push(&Skb::new(ctx), Tag::new(edge_vlan())) {
        Verdict::Pass
    } else {
        Verdict::Drop(DropReason::UplinkFailed)
    }
}

/// Untags a frame of the machine's VLAN; frames of other VLANs are not for it.
#[inline(always)]
pub fn pop(ctx: &TcContext) -> Verdict {
    let skb = Skb::new(ctx);
    let Some(ethernet) = Ethernet::parse(&skb) else { return Verdict::Drop(DropReason::Malformed) };
    let tag = skb.tag(&ethernet);
    if tag.is_present && tag.vlan() == edge_vlan() && vlan::pop(&skb) {
        Verdict::Pass
    } else {
        Verdict::Drop(DropReason::Tagged)
    }
}

#[inline(always)]
fn edge_vlan() -> u16 {
    #[expect(clippy::cast_possible_truncation, reason = "a VLAN id has 12 bits")]
    EDGE_VLAN.get(0).map_or(0, |vlan| *vlan as u16)
}
