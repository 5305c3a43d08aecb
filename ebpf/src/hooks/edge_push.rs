//! tcx egress of a machine on a VLAN trunk: tags what it sends.

use aya_ebpf::{macros::classifier, programs::TcContext};
use plexus_ebpf::kernel::{edge, skb};

#[classifier]
fn edge_push(ctx: TcContext) -> i32 {
    skb::conclude(edge::push(&ctx), &ctx)
}
