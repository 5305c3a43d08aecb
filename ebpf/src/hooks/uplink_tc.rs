//! tc ingress on a fastpath uplink, as a tcx link or behind `uplink_gate`: broadcasts, and what XDP did not take.

use aya_ebpf::{macros::classifier, programs::TcContext};
use plexus_ebpf::kernel::{from_uplink, skb};

#[classifier]
fn uplink_tc(ctx: TcContext) -> i32 {
    skb::conclude(from_uplink::forward_skb(&ctx), &ctx)
}
