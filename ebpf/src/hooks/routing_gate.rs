//! tc ingress on the host end of a fastpath port's veth, on a network that routes: the door to `port_routing`.

use aya_ebpf::{macros::classifier, programs::TcContext};
use plexus_ebpf::kernel::gate;

#[classifier]
fn routing_gate(ctx: TcContext) -> i32 {
    gate::routing(&ctx)
}
