//! tc egress of the pod's end of a veth: the door to `shape`.

use aya_ebpf::{macros::classifier, programs::TcContext};
use plexus_ebpf::kernel::gate;

#[classifier]
fn shape_gate(ctx: TcContext) -> i32 {
    gate::shape(&ctx)
}
