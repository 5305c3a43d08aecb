//! The way of a frame that arrives on a fastpath uplink.

use aya_ebpf::{
    bindings::xdp_action::XDP_DROP,
    programs::{TcContext, XdpContext},
};
use plexus_abi::{Direction, DropReason, UPLINK_XDP, Verdict};

use super::{
    counters, fdb, flood,
    maps::DEVICES,
    policer::{self, Moment},
    skb::Skb,
    vlan,
    xdp::Buffer,
};
use crate::pure::{
    ethernet::{Ethernet, TAG_BYTES, Tag},
    wire::Wire,
};

/// XDP: unicast for a local pod goes there; everything else passes.
#[inline(always)]
pub fn forward_xdp(ctx: &XdpContext) -> Verdict {
    let buffer = Buffer(ctx);
    match find_xdp(&buffer) {
        Some((port, tag)) => deliver_xdp(ctx, port, tag, buffer.bytes()),
        None => Verdict::Pass,
    }
}

#[inline(always)]
fn find_xdp(buffer: &Buffer<'_>) -> Option<(u32, Tag)> {
    let ethernet = Ethernet::parse(buffer)?;
    if ethernet.is_group() || ethernet.has_service_tag() {
        return None;
    }
    let vlan = ethernet.tag.vlan();
    let uplink = fdb::uplink(buffer.ifindex(), vlan)?;
    if uplink.flags & UPLINK_XDP == 0 {
        return None;
    }
    let port = fdb::owner(uplink.network, vlan, ethernet.destination)?;
    // A port whose device cannot take redirected frames has no entry: tcx delivers to it.
    DEVICES.get_ifindex(port)?;
    Some((port, ethernet.tag))
}

#[inline(always)]
fn deliver_xdp(ctx: &XdpContext, port: u32, tag: Tag, bytes: u32) -> Verdict {
    let wire = Wire::single(if tag.is_present { bytes.wrapping_sub(TAG_BYTES) } else { bytes });
    if !policer::admit(port, Direction::ToPod, wire.bytes, &mut Moment::default()) {
        return counters::drop(port, DropReason::PolicedToPod);
    }
    if tag.is_present && !vlan::pop_xdp(ctx) {
        return counters::drop(port, DropReason::DeliveryFailed);
    }
    if DEVICES.redirect(port, u64::from(XDP_DROP)).is_err() {
        return counters::drop(port, DropReason::DeliveryFailed);
    }
    counters::to_pod(port, wire);
    Verdict::ToPort(port)
}

/// tcx: unicast that XDP did not take goes to its pod; groups go to every member and to the host's own stack.
#[inline(always)]
pub fn forward_skb(ctx: &TcContext) -> Verdict {
    let skb = Skb::new(ctx);
    let Some(ethernet) = Ethernet::parse(&skb) else { return Verdict::Pass };
    if skb.has_service_tag(&ethernet) {
        return Verdict::Pass;
    }
    let tag = skb.tag(&ethernet);
    let vlan = tag.vlan();
    let Some(uplink) = fdb::uplink(skb.ifindex(), vlan) else { return Verdict::Pass };
    let wire = skb.wire(&ethernet);
    if ethernet.is_group() {
        return flood_skb(&skb, &ethernet, uplink.network, tag, wire);
    }
    let Some(port) = fdb::owner(uplink.network, vlan, ethernet.destination) else { return Verdict::Pass };
    if !policer::admit(port, Direction::ToPod, wire.bytes, &mut Moment::default()) {
        return counters::drop(port, DropReason::PolicedToPod);
    }
    if tag.is_present && !vlan::pop(&skb) {
        return counters::drop(port, DropReason::DeliveryFailed);
    }
    counters::to_pod(port, wire);
    Verdict::ToPort(port)
}

#[inline(always)]
fn flood_skb(skb: &Skb<'_>, ethernet: &Ethernet, network: u32, tag: Tag, wire: Wire) -> Verdict {
    // A switch or a bond may send a pod's own broadcast back; the pod would take it for a duplicate address.
    let sender = fdb::owner(network, tag.vlan(), ethernet.source).unwrap_or(flood::NOBODY);
    if !tag.is_present {
        flood::to_members(skb, network, 0, sender, wire);
        return Verdict::Pass;
    }
    if !vlan::pop(skb) {
        return Verdict::Pass;
    }
    flood::to_members(skb, network, tag.vlan(), sender, wire);
    // The host's own stack must see what arrived, tag included; without its tag it would change networks.
    if vlan::push(skb, tag) { Verdict::Pass } else { Verdict::Consumed }
}
