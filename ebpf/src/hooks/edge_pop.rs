//! tcx ingress of a machine on a VLAN trunk: untags what it gets.

use aya_ebpf::{macros::classifier, programs::TcContext};
use plexus_ebpf::kernel::{edge, skb};

#[classifier]
fn edge_pop(ctx: TcContext) -> i32 {
    skb::conclude(edge::pop(&ctx), &ctx)
}
