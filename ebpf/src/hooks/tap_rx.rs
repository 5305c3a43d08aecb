//! Behind `tap_rx_gate`: count and police what a pod gets (macvlan, bridge).

use aya_ebpf::{macros::classifier, programs::TcContext};
use plexus_ebpf::kernel::{skb, tap};

#[classifier]
fn tap_rx(ctx: TcContext) -> i32 {
    skb::conclude(tap::to_pod(&ctx), &ctx)
}
