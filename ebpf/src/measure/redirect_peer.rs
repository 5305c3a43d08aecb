//! The least that tc can do to forward from pod to pod: every frame to the peer of one device.

use aya_ebpf::{
    bindings::TC_ACT_SHOT,
    helpers::bpf_redirect_peer,
    macros::{classifier, map},
    maps::Array,
    programs::TcContext,
};

/// The ifindex of the receiving pod's veth on the host, in entry 0.
#[map]
static PEER: Array<u32> = Array::with_max_entries(1, 0);

#[classifier]
fn redirect_peer(_ctx: TcContext) -> i32 {
    match PEER.get(0) {
        // SAFETY: a helper without pointers.
        #[expect(clippy::cast_possible_truncation, reason = "a tc action")]
        Some(ifindex) => unsafe { bpf_redirect_peer(*ifindex, 0) as i32 },
        None => TC_ACT_SHOT,
    }
}
