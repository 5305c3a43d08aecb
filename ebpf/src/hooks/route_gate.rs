//! tc egress of an interface in a pod: the door to `route`.

use aya_ebpf::{macros::classifier, programs::TcContext};
use plexus_ebpf::kernel::gate;

#[classifier]
fn route_gate(ctx: TcContext) -> i32 {
    gate::route(&ctx)
}
