//! Behind `shape_gate`: when a packet leaves the pod's end of a veth.

use aya_ebpf::{macros::classifier, programs::TcContext};
use plexus_ebpf::kernel::{shaper, skb};

#[classifier]
fn shape(ctx: TcContext) -> i32 {
    skb::conclude(shaper::leave(&ctx), &ctx)
}
