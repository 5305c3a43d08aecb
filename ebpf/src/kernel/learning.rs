//! The ways of a frame on a network that learns: as elsewhere, but stations are found where they were heard.

use aya_ebpf::{helpers::bpf_ktime_get_ns, programs::TcContext};
use plexus_abi::{DropReason, NO_DEVICE, OUTSIDE, PortConfig, Verdict, port_id};

use super::{
    counters::{self, Slot},
    fdb::{self, Key},
    flood, from_pod, from_uplink,
    policer::Moment,
    seen,
    skb::Skb,
    stations::{self, UNKNOWN},
};
use crate::pure::{
    announce,
    ethernet::{Ethernet, HEADER_BYTES, TAG_BYTES, Tags},
    wire::Wire,
};

/// A frame that a pod sends.
#[inline(always)]
pub fn from_pod(ctx: &TcContext) -> Verdict {
    let skb = Skb::new(ctx);
    let id = port_id(skb.ifindex());
    let (Some(port), Some(mut slot)) = (fdb::port(id), Slot::of(id)) else {
        return counters::drop(&skb, id, DropReason::NotConfigured);
    };
    let mut moment = Moment::default();
    match from_pod::accept(&skb, id, port, &mut slot, &mut moment) {
        Ok((ethernet, wire)) => forward(&skb, id, port, &ethernet, wire, &mut moment),
        Err(reason) => counters::drop(&skb, id, reason),
    }
}

#[inline(always)]
fn forward(
    skb: &Skb<'_>,
    id: u32,
    port: &PortConfig,
    ethernet: &Ethernet,
    wire: Wire,
    moment: &mut Moment,
) -> Verdict {
    let Some(network) = fdb::network(port.network) else {
        return counters::drop(skb, id, DropReason::NotConfigured);
    };
    // SAFETY: a helper without arguments.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    stations::hear_port(id, port, ethernet.source, now_ns);
    if ethernet.is_group() {
        return from_pod::to_all(skb, id, port, wire);
    }
    let key = Key::new(port.network, port.vlan, ethernet.destination);
    match stations::locate(key.get(), network.ageing_s, now_ns) {
        UNKNOWN => from_pod::to_all(skb, id, port, wire),
        OUTSIDE if network.uplink_ifindex != NO_DEVICE => {
            seen::from_pod(skb, id, port);
            from_pod::out(skb, id, port, network)
        }
        OUTSIDE => counters::drop(skb, id, DropReason::UnknownDestination),
        member => from_pod::to_member(skb, id, port, fdb::as_owner(member), wire, moment),
    }
}

/// A frame that arrives on the uplink.
#[inline(always)]
pub(super) fn from_uplink(
    skb: &Skb<'_>,
    ethernet: &Ethernet,
    network: u32,
    tags: Tags,
    wire: Wire,
) -> Verdict {
    let Some(config) = fdb::network(network) else { return Verdict::Pass };
    let vlan = tags.customer.vlan();
    // SAFETY: a helper without arguments.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    let source = Key::new(network, vlan, ethernet.source);
    // Asked before the station is heard: a pod's own broadcast that a switch sends back must not reach it.
    let sender = stations::locate(source.get(), config.ageing_s, now_ns);
    stations::hear_outside(source.get(), now_ns, || is_announcement(skb, ethernet, tags));
    if ethernet.is_group() {
        return from_uplink::flood_skb(skb, network, tags, sender, wire);
    }
    let destination = Key::new(network, vlan, ethernet.destination);
    match stations::locate(destination.get(), config.ageing_s, now_ns) {
        UNKNOWN if skb.is_for_host() => Verdict::Pass,
        UNKNOWN => from_uplink::flood_skb(skb, network, tags, flood::NOBODY, wire),
        OUTSIDE => Verdict::Pass,
        port => from_uplink::deliver_skb(skb, fdb::as_owner(port), tags, wire),
    }
}

/// Whether a frame from outside announces its sender; only asked for addresses of ports.
#[inline(always)]
fn is_announcement(skb: &Skb<'_>, ethernet: &Ethernet, tags: Tags) -> bool {
    let is_stacked_in_bytes = tags.service.is_present && !skb.has_metadata_tag();
    if !is_stacked_in_bytes {
        return announce::is_announcement(skb, ethernet, ethernet.ethertype, ethernet.payload);
    }
    let payload = HEADER_BYTES + 2 * TAG_BYTES;
    let Some(ethertype) = crate::pure::frame::Frame::read::<2>(skb, payload - 2) else { return false };
    announce::is_announcement(skb, ethernet, u16::from_be_bytes(ethertype), payload)
}
