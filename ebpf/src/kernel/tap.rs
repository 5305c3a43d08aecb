//! Guarding, counting, policing and shaping where Plexus does not forward: a device in the pod, a veth's end on the host.

use aya_ebpf::programs::TcContext;
use plexus_abi::{
    Direction, DropReason, PORT_GUARD_IP, PORT_GUARD_MAC, PORT_SHAPED, PortConfig, Verdict, port_id,
};

use super::{
    counters::{self, Slot},
    fdb,
    policer::{self, Moment},
    seen, shaper,
    skb::Skb,
};
use crate::pure::{ethernet::Ethernet, guard, wire::Wire};

/// A frame that the pod sends.
#[inline(always)]
pub fn from_pod(ctx: &TcContext) -> Verdict {
    let skb = Skb::new(ctx);
    let Some((port, config, wire)) = weigh(&skb) else { return Verdict::Pass };
    if let Err(reason) = inspect(&skb, config) {
        return counters::drop(&skb, port, reason);
    }
    let Some(mut slot) = Slot::of(port) else { return Verdict::Pass };
    if config.has(PORT_SHAPED) {
        if !shaper::pace_port(&skb, port, wire.bytes) {
            return counters::drop(&skb, port, DropReason::ShapedHorizon);
        }
    } else if !policer::admit(&mut slot, port, Direction::FromPod, wire.bytes, &mut Moment::default()) {
        return counters::drop(&skb, port, DropReason::PolicedFromPod);
    }
    slot.count_from_pod(wire);
    seen::from_pod(&skb, port, config);
    Verdict::Pass
}

/// A frame that the pod gets.
#[inline(always)]
pub fn to_pod(ctx: &TcContext) -> Verdict {
    let skb = Skb::new(ctx);
    let Some((port, config, wire)) = weigh(&skb) else { return Verdict::Pass };
    let Some(mut slot) = Slot::of(port) else { return Verdict::Pass };
    if !policer::admit(&mut slot, port, Direction::ToPod, wire.bytes, &mut Moment::default()) {
        return counters::drop(&skb, port, DropReason::PolicedToPod);
    }
    slot.count_to_pod(wire);
    seen::to_pod(&skb, port, config);
    Verdict::Pass
}

/// Whether a guarded port may send the frame. Behind a tag nobody would look, so with a guard there are no tags.
#[inline(always)]
fn inspect(skb: &Skb<'_>, port: &PortConfig) -> Result<(), DropReason> {
    if !port.has(PORT_GUARD_MAC | PORT_GUARD_IP) {
        return Ok(());
    }
    if skb.has_metadata_tag() {
        return Err(DropReason::Tagged);
    }
    guard::accept(skb, port).map(drop)
}

/// The port and the frame's weight; nothing for a port that has been removed while its device lives on.
#[inline(always)]
fn weigh<'a>(skb: &Skb<'_>) -> Option<(u32, &'a PortConfig, Wire)> {
    let port = port_id(skb.ifindex());
    let config = fdb::port(port)?;
    Some((port, config, wire(skb)))
}

/// The frame's weight, whatever it is.
#[inline(always)]
pub(super) fn wire(skb: &Skb<'_>) -> Wire {
    match Ethernet::parse(skb) {
        Some(ethernet) => skb.wire(&ethernet),
        None => Wire::single(skb.bytes()),
    }
}
