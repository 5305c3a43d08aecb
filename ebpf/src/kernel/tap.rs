//! Counting and policing where Plexus does not forward: macvlan in the pod, a bridge port on the host.

use aya_ebpf::programs::TcContext;
use plexus_abi::{Direction, DropReason, Verdict, port_id};

use super::{counters, fdb, policer, skb::Skb};
use crate::pure::{ethernet::Ethernet, wire::Wire};

/// A frame that the pod sends.
#[inline(always)]
pub fn from_pod(ctx: &TcContext) -> Verdict {
    let Some((port, wire)) = weigh(&Skb::new(ctx)) else { return Verdict::Pass };
    if !policer::admit(port, Direction::FromPod, wire.bytes) {
        return counters::drop(port, DropReason::PolicedFromPod);
    }
    counters::from_pod(port, wire);
    Verdict::Pass
}

/// A frame that the pod gets.
#[inline(always)]
pub fn to_pod(ctx: &TcContext) -> Verdict {
    let Some((port, wire)) = weigh(&Skb::new(ctx)) else { return Verdict::Pass };
    if !policer::admit(port, Direction::ToPod, wire.bytes) {
        return counters::drop(port, DropReason::PolicedToPod);
    }
    counters::to_pod(port, wire);
    Verdict::Pass
}

/// The port and the frame's weight; nothing for a port that has been removed while its device lives on.
#[inline(always)]
fn weigh(skb: &Skb<'_>) -> Option<(u32, Wire)> {
    let port = port_id(skb.ifindex());
    fdb::port(port)?;
    let wire = match Ethernet::parse(skb) {
        Some(ethernet) => skb.wire(&ethernet),
        None => Wire::single(skb.bytes()),
    };
    Some((port, wire))
}
