//! tc where a tapped pod's frames reach it: the door to `tap_rx`.

use aya_ebpf::{macros::classifier, programs::TcContext};
use plexus_ebpf::kernel::gate;

#[classifier]
fn tap_rx_gate(ctx: TcContext) -> i32 {
    gate::tap_rx(&ctx)
}
