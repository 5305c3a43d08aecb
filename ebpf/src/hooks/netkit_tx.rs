//! Behind `netkit_gate`: what a fastpath pod sends, while it sends it.

use aya_ebpf::{macros::classifier, programs::TcContext};
use plexus_ebpf::kernel::{from_pod, skb};

#[classifier]
fn netkit_tx(ctx: TcContext) -> i32 {
    skb::conclude_netkit(from_pod::forward(&ctx), &ctx)
}
