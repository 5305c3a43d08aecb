//! The way of a frame that a fastpath pod sends.

use aya_ebpf::programs::TcContext;
use plexus_abi::{Direction, DropReason, FdbEntry, NetworkConfig, PortConfig, Verdict, port_id};

use super::{
    counters::{self, Slot},
    fdb, flood,
    policer::{self, Moment},
    seen,
    skb::Skb,
    vlan,
};
use crate::pure::{
    ethernet::{Ethernet, Tag},
    guard,
    wire::Wire,
};

/// Guards, polices, counts and forwards.
#[inline(always)]
pub fn forward(ctx: &TcContext) -> Verdict {
    let skb = Skb::new(ctx);
    let id = port_id(skb.ifindex());
    let (Some(port), Some(mut slot)) = (fdb::port(id), Slot::of(id)) else {
        return counters::drop(&skb, id, DropReason::NotConfigured);
    };
    let mut moment = Moment::default();
    match accept(&skb, id, port, &mut slot, &mut moment) {
        Ok((ethernet, wire)) if ethernet.is_group() => to_all(&skb, id, port, wire),
        Ok((ethernet, wire)) => {
            to_one(&skb, id, port, slot.hint(ethernet.destination), ethernet.destination, wire, &mut moment)
        }
        Err(reason) => counters::drop(&skb, id, reason),
    }
}

#[inline(always)]
pub(super) fn accept(
    skb: &Skb<'_>,
    id: u32,
    port: &PortConfig,
    slot: &mut Slot,
    moment: &mut Moment,
) -> Result<(Ethernet, Wire), DropReason> {
    if skb.has_metadata_tag() {
        return Err(DropReason::Tagged);
    }
    let ethernet = guard::accept(skb, port)?;
    let wire = skb.wire(&ethernet);
    if !policer::admit(slot, id, Direction::FromPod, wire.bytes, moment) {
        return Err(DropReason::PolicedFromPod);
    }
    slot.count_from_pod(wire);
    Ok((ethernet, wire))
}

#[inline(always)]
fn to_one(
    skb: &Skb<'_>,
    id: u32,
    port: &PortConfig,
    hint: &mut u32,
    destination: u64,
    wire: Wire,
    moment: &mut Moment,
) -> Verdict {
    let Some(owner) = fdb::owner_near(hint, port.network, port.vlan, destination) else {
        return match fdb::way_out(port.network) {
            Some(network) => {
                seen::from_pod(skb, id, port);
                out(skb, id, port, network)
            }
            None => counters::drop(skb, id, DropReason::UnknownDestination),
        };
    };
    to_member(skb, id, port, owner, wire, moment)
}

/// Polices and counts a frame for another port of the network.
#[inline(always)]
pub(super) fn to_member(
    skb: &Skb<'_>,
    id: u32,
    port: &PortConfig,
    owner: FdbEntry,
    wire: Wire,
    moment: &mut Moment,
) -> Verdict {
    let member = owner.port;
    // A frame to the sender's own MAC would come back to it; no bridge does that.
    if member == id {
        return counters::drop(skb, id, DropReason::UnknownDestination);
    }
    let Some(mut slot) = Slot::of(member) else {
        return counters::drop(skb, id, DropReason::UnknownDestination);
    };
    if !policer::admit(&mut slot, member, Direction::ToPod, wire.bytes, moment) {
        return counters::drop(skb, member, DropReason::PolicedToPod);
    }
    slot.count_to_pod(wire);
    seen::from_pod(skb, id, port);
    seen::to_owner(skb, owner);
    Verdict::ToPort(member)
}

#[inline(always)]
pub(super) fn to_all(skb: &Skb<'_>, id: u32, port: &PortConfig, wire: Wire) -> Verdict {
    seen::from_pod(skb, id, port);
    flood::to_members(skb, port.network, port.vlan, id, wire);
    match fdb::way_out(port.network) {
        Some(network) => out(skb, id, port, network),
        None => Verdict::Consumed,
    }
}

#[inline(always)]
pub(super) fn out(skb: &Skb<'_>, id: u32, port: &PortConfig, network: &NetworkConfig) -> Verdict {
    if port.vlan != 0 && !vlan::push(skb, Tag::new(port.vlan)) {
        return counters::drop(skb, id, DropReason::UplinkFailed);
    }
    if network.outer_vlan != 0 && !vlan::push_service(skb, Tag::new(network.outer_vlan)) {
        return counters::drop(skb, id, DropReason::UplinkFailed);
    }
    Verdict::ToDevice(network.uplink_ifindex)
}
