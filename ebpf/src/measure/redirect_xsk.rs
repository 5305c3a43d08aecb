//! A receiver that hands stamped frames to AF_XDP sockets, one of each receive queue.

use aya_ebpf::{
    bindings::xdp_action::XDP_PASS,
    macros::{map, xdp},
    maps::XskMap,
    programs::XdpContext,
};

use crate::count::DESTINATION_OFFSET;

/// Most receive queues of a device.
const QUEUES_MAX: u32 = 16;
/// UDP port of stamped frames.
const STAMPED: u16 = 20_000;

/// The sockets, by receive queue.
#[map]
static SOCKETS: XskMap = XskMap::with_max_entries(QUEUES_MAX, 0);

#[xdp]
fn redirect_xsk(ctx: XdpContext) -> u32 {
    let port = ctx.data() + DESTINATION_OFFSET;
    if port + 2 > ctx.data_end() {
        return XDP_PASS;
    }
    // SAFETY: the two bytes lie inside of the frame; they need no alignment as a byte array.
    if u16::from_be_bytes(unsafe { *(port as *const [u8; 2]) }) != STAMPED {
        return XDP_PASS;
    }
    // SAFETY: the kernel passes a valid context for the whole run of the program.
    let queue = unsafe { (*ctx.ctx).rx_queue_index };
    SOCKETS.redirect(queue, u64::from(XDP_PASS)).unwrap_or(XDP_PASS)
}
