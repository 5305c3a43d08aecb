//! VLAN tags on and off.

use aya_ebpf::{
    helpers::{bpf_skb_vlan_pop, bpf_skb_vlan_push, bpf_xdp_adjust_head},
    programs::XdpContext,
};

use super::{skb::Skb, xdp::Buffer};
use crate::pure::ethernet::{ETHERTYPE_VLAN, TAG_BYTES, Tag};

/// Both MAC addresses: what stands before a tag.
type Addresses = [u8; 12];

/// Puts an 802.1Q tag on a frame; whether it worked.
#[inline(always)]
pub(crate) fn push(skb: &Skb<'_>, tag: Tag) -> bool {
    // SAFETY: a helper on the program's own context.
    unsafe { bpf_skb_vlan_push(skb.as_ptr(), ETHERTYPE_VLAN.to_be(), tag.control) == 0 }
}

/// Takes the outermost tag off, from metadata or bytes; whether it worked.
#[inline(always)]
pub(crate) fn pop(skb: &Skb<'_>) -> bool {
    // SAFETY: a helper on the program's own context.
    unsafe { bpf_skb_vlan_pop(skb.as_ptr()) == 0 }
}

/// Takes the tag out of a device buffer's bytes: the addresses move up over it. Whether it worked.
#[inline(always)]
pub(crate) fn pop_xdp(ctx: &XdpContext) -> bool {
    let buffer = Buffer(ctx);
    let Some(old) = buffer.at::<Addresses>(0) else { return false };
    // SAFETY: `at` checked the bounds.
    let addresses = unsafe { *old };
    // SAFETY: a helper on the program's own context; every pointer is taken anew below.
    if unsafe { bpf_xdp_adjust_head(ctx.ctx, TAG_BYTES.cast_signed()) } != 0 {
        return false;
    }
    let Some(new) = buffer.at::<Addresses>(0) else { return false };
    // SAFETY: `at` checked the bounds after the move.
    unsafe { *new = addresses };
    true
}
