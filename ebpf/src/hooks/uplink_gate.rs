//! tc ingress of a fastpath uplink on kernels without tcx: the door to `uplink_tc`.

use aya_ebpf::{macros::classifier, programs::TcContext};
use plexus_ebpf::kernel::gate;

#[classifier]
fn uplink_gate(ctx: TcContext) -> i32 {
    gate::uplink(&ctx)
}
