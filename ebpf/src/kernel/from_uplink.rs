//! The way of a frame that arrives on a fastpath uplink.

use aya_ebpf::{
    bindings::xdp_action::XDP_PASS,
    programs::{TcContext, XdpContext},
};
use plexus_abi::{
    Direction, DropReason, FDB_CAPTURED, FdbEntry, UPLINK_LEARNS, UPLINK_ROUTES, UPLINK_XDP, Verdict,
};

use super::{
    counters::{self, Slot},
    fdb, flood, learning,
    maps::DEVICES,
    policer::{self, Moment},
    routing, seen,
    skb::Skb,
    vlan,
    xdp::Buffer,
};
use crate::pure::{
    ethernet::{Ethernet, Tags},
    wire::Wire,
};

/// XDP: unicast for a local pod goes there; everything else passes.
#[inline(always)]
pub fn forward_xdp(ctx: &XdpContext) -> Verdict {
    let buffer = Buffer(ctx);
    match find_xdp(&buffer) {
        Some((port, tags)) => deliver_xdp(&buffer, port, tags.bytes()),
        None => Verdict::Pass,
    }
}

#[inline(always)]
fn find_xdp(buffer: &Buffer<'_>) -> Option<(u32, Tags)> {
    let ethernet = Ethernet::parse(buffer)?;
    if ethernet.is_group() {
        return None;
    }
    let tags = if ethernet.has_service_tag() { Tags::stacked(buffer)? } else { Tags::single(ethernet.tag) };
    let uplink = fdb::uplink(buffer.ifindex(), tags)?;
    if uplink.flags & UPLINK_XDP == 0 {
        return None;
    }
    let hint = fdb::hint(ethernet.destination)?;
    let owner = fdb::owner_near(hint, uplink.network, tags.customer.vlan(), ethernet.destination)?;
    // Captures are written by tcx; and a port whose device cannot take redirected frames has no entry: tcx delivers to it.
    if owner.flags & FDB_CAPTURED != 0 {
        return None;
    }
    // It takes effect with the verdict: a frame that is dropped below stays here.
    DEVICES.redirect(owner.port, u64::from(XDP_PASS)).ok()?;
    Some((owner.port, tags))
}

#[inline(always)]
fn deliver_xdp(buffer: &Buffer<'_>, port: u32, tag_bytes: u32) -> Verdict {
    let wire = Wire::single(buffer.bytes().wrapping_sub(tag_bytes));
    let Some(mut slot) = Slot::of(port) else { return Verdict::Pass };
    if !policer::admit(&mut slot, port, Direction::ToPod, wire.bytes, &mut Moment::default()) {
        return counters::drop(buffer, port, DropReason::PolicedToPod);
    }
    if tag_bytes != 0 && !vlan::pop_xdp(buffer.0, tag_bytes) {
        return counters::drop(buffer, port, DropReason::DeliveryFailed);
    }
    slot.count_to_pod(wire);
    Verdict::ToPort(port)
}

/// tcx: unicast that XDP did not take goes to its pod; groups go to every member and to the host's own stack.
#[inline(always)]
pub fn forward_skb(ctx: &TcContext) -> Verdict {
    let skb = Skb::new(ctx);
    let Some(ethernet) = Ethernet::parse(&skb) else { return Verdict::Pass };
    let Some(tags) = skb.tags(&ethernet) else { return Verdict::Pass };
    let Some(uplink) = fdb::uplink(skb.ifindex(), tags) else { return Verdict::Pass };
    let mut wire = skb.wire(&ethernet);
    if tags.service.is_present && !skb.has_metadata_tag() {
        wire.bytes = wire.bytes.wrapping_sub(tags.bytes());
    }
    if uplink.flags & UPLINK_LEARNS != 0 {
        return learning::from_uplink(&skb, &ethernet, uplink.network, tags, wire);
    }
    if uplink.flags & UPLINK_ROUTES != 0 {
        return routing::from_uplink(&skb, &ethernet, uplink.network, tags, wire);
    }
    if ethernet.is_group() {
        // A switch or a bond may send a pod's own broadcast back; the pod would take it for a duplicate address.
        let sender = fdb::owner(uplink.network, tags.customer.vlan(), ethernet.source);
        return flood_skb(&skb, uplink.network, tags, sender.map_or(flood::NOBODY, |owner| owner.port), wire);
    }
    let Some(owner) = fdb::owner(uplink.network, tags.customer.vlan(), ethernet.destination) else {
        return Verdict::Pass;
    };
    deliver_skb(&skb, owner, tags, wire)
}

/// Polices, untags and counts a frame for a port.
#[inline(always)]
pub(super) fn deliver_skb(skb: &Skb<'_>, owner: FdbEntry, tags: Tags, wire: Wire) -> Verdict {
    let port = owner.port;
    let Some(mut slot) = Slot::of(port) else { return Verdict::Pass };
    if !policer::admit(&mut slot, port, Direction::ToPod, wire.bytes, &mut Moment::default()) {
        return counters::drop(skb, port, DropReason::PolicedToPod);
    }
    if !vlan::strip(skb, tags) {
        return counters::drop(skb, port, DropReason::DeliveryFailed);
    }
    slot.count_to_pod(wire);
    seen::to_owner(skb, owner);
    Verdict::ToPort(port)
}

/// Copies a frame to the members except `sender`, and lets the host's own stack see it.
#[inline(always)]
pub(super) fn flood_skb(skb: &Skb<'_>, network: u32, tags: Tags, sender: u32, wire: Wire) -> Verdict {
    if !vlan::strip(skb, tags) {
        return Verdict::Pass;
    }
    flood::to_members(skb, network, tags.customer.vlan(), sender, wire);
    // The host's own stack must see what arrived, tags included; without them it would change networks.
    if vlan::restore(skb, tags) { Verdict::Pass } else { Verdict::Consumed }
}
