//! A tail call alone, as the gate of a port makes it; `nothing` is behind it.

use aya_ebpf::{
    bindings::TC_ACT_UNSPEC,
    macros::{classifier, map},
    maps::ProgramArray,
    programs::TcContext,
};

/// The program behind the call, in slot 0.
#[map]
static BEHIND: ProgramArray = ProgramArray::with_max_entries(1, 0);

#[classifier]
fn call_nothing(ctx: TcContext) -> i32 {
    // SAFETY: the program's own context. A call that succeeds does not return.
    unsafe { BEHIND.tail_call(&ctx, 0) };
    TC_ACT_UNSPEC
}
