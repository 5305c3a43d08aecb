//! The pod's end of a fastpath port's netkit pair, on a network that learns: the door to `netkit_learning`.

use aya_ebpf::{macros::classifier, programs::TcContext};
use plexus_ebpf::kernel::gate;

#[classifier]
fn netkit_learning_gate(ctx: TcContext) -> i32 {
    gate::netkit_learning(&ctx)
}
