//! XDP on a fastpath uplink: unicast for a local pod.

use aya_ebpf::{macros::xdp, programs::XdpContext};
use plexus_ebpf::kernel::{from_uplink, xdp};

#[xdp(frags)]
fn uplink_xdp(ctx: XdpContext) -> u32 {
    xdp::conclude(from_uplink::forward_xdp(&ctx))
}
