//! One counter alone: a slot of this CPU is looked up, and two numbers in it grow.

use aya_ebpf::{bindings::TC_ACT_SHOT, macros::classifier, programs::TcContext};

use crate::count;

#[classifier]
fn count_once(ctx: TcContext) -> i32 {
    count::add_at_once(u64::from(ctx.len()));
    TC_ACT_SHOT
}
