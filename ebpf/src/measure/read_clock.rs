//! The clock alone, as the policer reads it below its limit.

use aya_ebpf::{
    bindings::TC_ACT_SHOT, bindings::TC_ACT_UNSPEC, helpers::bpf_ktime_get_coarse_ns, macros::classifier,
    programs::TcContext,
};

#[classifier]
fn read_clock(_ctx: TcContext) -> i32 {
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_coarse_ns() };
    // The result depends on the time, so that the call stays.
    if now == 0 { TC_ACT_UNSPEC } else { TC_ACT_SHOT }
}
