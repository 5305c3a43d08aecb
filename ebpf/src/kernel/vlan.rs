//! VLAN tags on and off.

use aya_ebpf::{
    helpers::{bpf_skb_vlan_pop, bpf_skb_vlan_push, bpf_xdp_adjust_head},
    programs::XdpContext,
};

use super::{skb::Skb, xdp::Buffer};
use crate::pure::ethernet::{ETHERTYPE_SERVICE_VLAN, ETHERTYPE_VLAN, Tag, Tags};

/// Both MAC addresses: what stands before a tag.
type Addresses = [u8; 12];

/// Puts an 802.1Q tag on a frame; whether it worked.
#[inline(always)]
pub(crate) fn push(skb: &Skb<'_>, tag: Tag) -> bool {
    // SAFETY: a helper on the program's own context.
    unsafe { bpf_skb_vlan_push(skb.as_ptr(), ETHERTYPE_VLAN.to_be(), tag.control) == 0 }
}

/// Puts an 802.1ad tag on a frame, around the one that it has; whether it worked.
#[inline(always)]
pub(crate) fn push_service(skb: &Skb<'_>, tag: Tag) -> bool {
    // SAFETY: a helper on the program's own context.
    unsafe { bpf_skb_vlan_push(skb.as_ptr(), ETHERTYPE_SERVICE_VLAN.to_be(), tag.control) == 0 }
}

/// Takes all tags off; whether it worked.
#[inline(always)]
pub(crate) fn strip(skb: &Skb<'_>, tags: Tags) -> bool {
    (!tags.service.is_present || pop(skb)) && (!tags.customer.is_present || pop(skb))
}

/// Puts tags back that [`strip`] took off; whether it worked.
#[inline(always)]
pub(crate) fn restore(skb: &Skb<'_>, tags: Tags) -> bool {
    (!tags.customer.is_present || push(skb, tags.customer))
        && (!tags.service.is_present || push_service(skb, tags.service))
}

/// Takes the outermost tag off, from metadata or bytes; whether it worked.
#[inline(always)]
pub(crate) fn pop(skb: &Skb<'_>) -> bool {
    // SAFETY: a helper on the program's own context.
    unsafe { bpf_skb_vlan_pop(skb.as_ptr()) == 0 }
}

/// Takes `bytes` of tags out of a device buffer: the addresses move up over them. Whether it worked.
#[inline(always)]
pub(crate) fn pop_xdp(ctx: &XdpContext, bytes: u32) -> bool {
    let buffer = Buffer(ctx);
    let Some(old) = buffer.at::<Addresses>(0) else { return false };
    // SAFETY: `at` checked the bounds.
    let addresses = unsafe { *old };
    // SAFETY: a helper on the program's own context; every pointer is taken anew below.
    if unsafe { bpf_xdp_adjust_head(ctx.ctx, bytes.cast_signed()) } != 0 {
        return false;
    }
    let Some(new) = buffer.at::<Addresses>(0) else { return false };
    // SAFETY: `at` checked the bounds after the move.
    unsafe { *new = addresses };
    true
}
