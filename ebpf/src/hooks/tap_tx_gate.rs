//! tc where a tapped pod's frames leave it: the door to `tap_tx`.

use aya_ebpf::{macros::classifier, programs::TcContext};
use plexus_ebpf::kernel::gate;

#[classifier]
fn tap_tx_gate(ctx: TcContext) -> i32 {
    gate::tap_tx(&ctx)
}
