//! A receiver that drops in XDP, where no socket buffer has been made yet.

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_PASS},
    macros::xdp,
    programs::XdpContext,
};

use crate::count::{self, DESTINATION_OFFSET, DISCARD};

#[xdp]
fn sink_xdp(ctx: XdpContext) -> u32 {
    let port = ctx.data() + DESTINATION_OFFSET;
    if port + 2 > ctx.data_end() {
        return XDP_PASS;
    }
    // SAFETY: the two bytes lie inside of the frame; they need no alignment as a byte array.
    if u16::from_be_bytes(unsafe { *(port as *const [u8; 2]) }) != DISCARD {
        return XDP_PASS;
    }
    count::add((ctx.data_end() - ctx.data()) as u64);
    XDP_DROP
}
