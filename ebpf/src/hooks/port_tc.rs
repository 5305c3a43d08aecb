//! Behind `port_gate`: what a fastpath pod sends.

use aya_ebpf::{macros::classifier, programs::TcContext};
use plexus_ebpf::kernel::{from_pod, skb};

#[classifier]
fn port_tc(ctx: TcContext) -> i32 {
    skb::conclude(from_pod::forward(&ctx), &ctx)
}
