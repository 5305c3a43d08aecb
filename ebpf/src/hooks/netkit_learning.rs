//! Behind `netkit_learning_gate`: what a fastpath pod sends on a network that learns.

use aya_ebpf::{macros::classifier, programs::TcContext};
use plexus_ebpf::kernel::{learning, skb};

#[classifier]
fn netkit_learning(ctx: TcContext) -> i32 {
    skb::conclude_netkit(learning::from_pod(&ctx), &ctx)
}
