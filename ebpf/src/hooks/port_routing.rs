//! Behind `routing_gate`: what a fastpath pod sends on a network that routes.

use aya_ebpf::{macros::classifier, programs::TcContext};
use plexus_ebpf::kernel::{routing, skb};

#[classifier]
fn port_routing(ctx: TcContext) -> i32 {
    skb::conclude(routing::from_pod(&ctx), &ctx)
}
