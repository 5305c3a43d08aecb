//! Behind `tap_tx_gate`: count and police what a pod sends (macvlan, bridge).

use aya_ebpf::{macros::classifier, programs::TcContext};
use plexus_ebpf::kernel::{skb, tap};

#[classifier]
fn tap_tx(ctx: TcContext) -> i32 {
    skb::conclude(tap::from_pod(&ctx), &ctx)
}
