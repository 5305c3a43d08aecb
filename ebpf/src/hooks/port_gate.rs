//! tc ingress on the host end of a fastpath port's veth: the door to `port_tc`.

use aya_ebpf::{macros::classifier, programs::TcContext};
use plexus_ebpf::kernel::gate;

#[classifier]
fn port_gate(ctx: TcContext) -> i32 {
    gate::from_pod(&ctx)
}
