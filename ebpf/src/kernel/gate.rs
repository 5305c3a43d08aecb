//! What is attached to the device of a port, and to an uplink where there is no tcx: a door to the program behind it.
//!
//! Programs change by changing the map, for every port at once and without entering a pod.

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC},
    programs::TcContext,
};
use plexus_abi::{
    PROGRAM_FROM_POD, PROGRAM_LEARNING, PROGRAM_NETKIT, PROGRAM_NETKIT_LEARNING, PROGRAM_ROUTE,
    PROGRAM_ROUTING, PROGRAM_SHAPE, PROGRAM_TAP_RX, PROGRAM_TAP_TX, PROGRAM_UPLINK,
};

use super::maps::PROGRAMS;

/// Where in `cb` a gate writes the port that its filter's class names. The kernel keeps `cb` from one program of a device to
/// the next, and over the redirect to another device.
const PORT: usize = 3;

/// For a gate on an interface that is not the port's own: its filter's class says which port's, in any network namespace.
#[inline(always)]
fn name_port(ctx: &TcContext) {
    // SAFETY: fields of the program's own context.
    unsafe { (*ctx.skb.skb).cb[PORT] = (*ctx.skb.skb).tc_classid };
}

/// The port that the gate named.
#[inline(always)]
pub(crate) fn named_port(ctx: &TcContext) -> u32 {
    // SAFETY: a field of the program's own context.
    unsafe { (*ctx.skb.skb).cb[PORT] }
}

/// What a fastpath pod sends; without a program nothing is forwarded.
#[inline(always)]
pub fn from_pod(ctx: &TcContext) -> i32 {
    // SAFETY: the program's own context. A call that succeeds does not return.
    unsafe { PROGRAMS.tail_call(ctx, PROGRAM_FROM_POD) };
    TC_ACT_SHOT
}

/// What a pod of a network that learns sends; without a program nothing is forwarded.
#[inline(always)]
pub fn learning(ctx: &TcContext) -> i32 {
    // SAFETY: as above.
    unsafe { PROGRAMS.tail_call(ctx, PROGRAM_LEARNING) };
    TC_ACT_SHOT
}

/// What a pod of a network that routes sends; without a program nothing is forwarded.
#[inline(always)]
pub fn routing(ctx: &TcContext) -> i32 {
    // SAFETY: as above.
    unsafe { PROGRAMS.tail_call(ctx, PROGRAM_ROUTING) };
    TC_ACT_SHOT
}

/// What a fastpath pod sends into a netkit pair; without a program nothing is forwarded.
#[inline(always)]
pub fn netkit(ctx: &TcContext) -> i32 {
    // SAFETY: as above.
    unsafe { PROGRAMS.tail_call(ctx, PROGRAM_NETKIT) };
    TC_ACT_SHOT
}

/// The same on a network that learns.
#[inline(always)]
pub fn netkit_learning(ctx: &TcContext) -> i32 {
    // SAFETY: as above.
    unsafe { PROGRAMS.tail_call(ctx, PROGRAM_NETKIT_LEARNING) };
    TC_ACT_SHOT
}

/// What a tapped pod sends; without a program it passes uncounted.
#[inline(always)]
pub fn tap_tx(ctx: &TcContext) -> i32 {
    // SAFETY: as above.
    unsafe { PROGRAMS.tail_call(ctx, PROGRAM_TAP_TX) };
    TC_ACT_UNSPEC
}

/// What a tapped pod gets; without a program it passes uncounted.
#[inline(always)]
pub fn tap_rx(ctx: &TcContext) -> i32 {
    // SAFETY: as above.
    unsafe { PROGRAMS.tail_call(ctx, PROGRAM_TAP_RX) };
    TC_ACT_UNSPEC
}

/// What an uplink receives; without a program it is the host's.
#[inline(always)]
pub fn uplink(ctx: &TcContext) -> i32 {
    // SAFETY: as above.
    unsafe { PROGRAMS.tail_call(ctx, PROGRAM_UPLINK) };
    TC_ACT_UNSPEC
}

/// What leaves an interface whose packets are looked up in a table of routes; without a program the pod's own routes
/// hold.
#[inline(always)]
pub fn route(ctx: &TcContext) -> i32 {
    name_port(ctx);
    // SAFETY: as above.
    unsafe { PROGRAMS.tail_call(ctx, PROGRAM_ROUTE) };
    TC_ACT_UNSPEC
}

/// What leaves the pod's end of a veth; without a program it leaves at once, and the host polices it.
#[inline(always)]
pub fn shape(ctx: &TcContext) -> i32 {
    name_port(ctx);
    // SAFETY: as above.
    unsafe { PROGRAMS.tail_call(ctx, PROGRAM_SHAPE) };
    TC_ACT_UNSPEC
}
