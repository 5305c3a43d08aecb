//! An access port for a machine on a trunk whose kernel has no VLAN devices.

use aya_ebpf::programs::TcContext;
use plexus_abi::{DropReason, Verdict};

use super::{maps::EDGE_VLAN, skb::Skb, vlan};
use crate::pure::ethernet::{Ethernet, Tag, Tags};

/// Tags a frame that the machine sends.
#[inline(always)]
pub fn push(ctx: &TcContext) -> Verdict {
    let (skb, tags) = (Skb::new(ctx), edge_tags());
    if vlan::restore(&skb, tags) { Verdict::Pass } else { Verdict::Drop(DropReason::UplinkFailed) }
}

/// Untags a frame of the machine's VLAN; frames of other VLANs are not for it.
#[inline(always)]
pub fn pop(ctx: &TcContext) -> Verdict {
    let skb = Skb::new(ctx);
    let Some(ethernet) = Ethernet::parse(&skb) else { return Verdict::Drop(DropReason::Malformed) };
    let Some(tags) = skb.tags(&ethernet) else { return Verdict::Drop(DropReason::Tagged) };
    let wanted = edge_tags();
    let is_ours = tags.customer.is_present
        && tags.customer.vlan() == wanted.customer.vlan()
        && tags.service.vlan() == wanted.service.vlan();
    if is_ours && vlan::strip(&skb, tags) { Verdict::Pass } else { Verdict::Drop(DropReason::Tagged) }
}

/// The machine's VLAN, inside a service VLAN if the upper half of the word names one.
#[inline(always)]
fn edge_tags() -> Tags {
    let word = EDGE_VLAN.get(0).map_or(0, |word| *word);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the word")]
    let (customer, service) = (word as u16, (word >> 16) as u16);
    let service = if service == 0 { Tag::NONE } else { Tag::new(service) };
    Tags { service, customer: Tag::new(customer) }
}
