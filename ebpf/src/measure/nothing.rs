//! What any run of a program costs: it only returns.

use aya_ebpf::{bindings::TC_ACT_SHOT, macros::classifier, programs::TcContext};

#[classifier]
fn nothing(_ctx: TcContext) -> i32 {
    TC_ACT_SHOT
}
