//! tcx ingress on the host end of a fastpath port's veth: what the pod sends.

use aya_ebpf::{macros::classifier, programs::TcContext};
use plexus_ebpf::kernel::{from_pod, skb};

#[classifier]
fn port_tc(ctx: TcContext) -> i32 {
    skb::conclude(from_pod::forward(&ctx), &ctx)
}
