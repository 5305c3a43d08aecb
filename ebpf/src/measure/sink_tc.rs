//! A receiver that drops where the network stack begins: a socket buffer has been made, tc ingress runs.

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC},
    macros::classifier,
    programs::TcContext,
};

use crate::count::{self, DESTINATION_OFFSET, DISCARD};

#[classifier]
fn sink_tc(ctx: TcContext) -> i32 {
    match ctx.load::<[u8; 2]>(DESTINATION_OFFSET) {
        Ok(port) if u16::from_be_bytes(port) == DISCARD => {
            count::add(u64::from(ctx.len()));
            TC_ACT_SHOT
        }
        _ => TC_ACT_UNSPEC,
    }
}
