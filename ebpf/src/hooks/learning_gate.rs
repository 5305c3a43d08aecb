//! tc ingress on the host end of a fastpath port's veth, on a network that learns: the door to `port_learning`.

use aya_ebpf::{macros::classifier, programs::TcContext};
use plexus_ebpf::kernel::gate;

#[classifier]
fn learning_gate(ctx: TcContext) -> i32 {
    gate::learning(&ctx)
}
