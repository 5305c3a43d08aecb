//! The pod's end of a fastpath port's netkit pair: the door to `netkit_tx`.

use aya_ebpf::{macros::classifier, programs::TcContext};
use plexus_ebpf::kernel::gate;

#[classifier]
fn netkit_gate(ctx: TcContext) -> i32 {
    gate::netkit(&ctx)
}
