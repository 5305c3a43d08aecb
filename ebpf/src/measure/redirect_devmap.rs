//! The least that XDP can do to forward: every frame to one device.

use aya_ebpf::{bindings::xdp_action::XDP_DROP, macros::xdp, programs::XdpContext};

use crate::generate::TARGET;

#[xdp]
fn redirect_devmap(_ctx: XdpContext) -> u32 {
    TARGET.redirect(0, u64::from(XDP_DROP)).unwrap_or(XDP_DROP)
}
