//! Behind `route_gate`: where a packet that leaves a pod goes.

use aya_ebpf::{macros::classifier, programs::TcContext};
use plexus_ebpf::kernel::{route, skb};

#[classifier]
fn route(ctx: TcContext) -> i32 {
    skb::conclude(route::leave(&ctx), &ctx)
}
