//! Routes of a network, enforced where a packet leaves its pod; the pod's own routing table is not touched.
//!
//! ```text
//!   egress of an interface in the pod: route_gate ──▶ leave ──▶ cache ─▶ trie ─▶ next hop
//!                                                       │            redirect with the next hop: the kernel resolves
//!                                                       ▼            the neighbour, the egress of that device is next
//!                                                     pass, drop
//! ```

use aya_ebpf::{
    bindings::{TC_ACT_REDIRECT, bpf_redir_neigh, bpf_redir_neigh__bindgen_ty_1},
    helpers::bpf_redirect_neigh,
    programs::TcContext,
};
use plexus_abi::{
    Address, DropReason, HOP_BLACKHOLE, HOP_GATEWAY, HOP_NONE, HOP_ON_LINK, NO_TABLE, NextHop, RoutePort,
    Verdict,
};

use super::{
    counters, gate,
    maps::{NEXT_HOPS, ROUTE_PORTS},
    route_cache,
    skb::Skb,
};
use crate::pure::{destination::Destination, ethernet::Ethernet};

/// Where in `cb` stands that a table has been asked already.
const MARK: usize = 4;
/// Mixed with the ifindex: what is in `cb` before anybody has written there is no mark.
const MARK_OF: u32 = 0x9e1c_5a37;

const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;

/// Where a packet goes that leaves an interface of a pod.
#[inline(always)]
pub fn leave(ctx: &TcContext) -> Verdict {
    let skb = Skb::new(ctx);
    // A packet is looked up once: the device that it was sent over to may have a gate too, and may be the same one.
    if has_been_asked(ctx, skb.ifindex()) {
        return Verdict::Pass;
    }
    let port = gate::named_port(ctx);
    let Some(routes) = ROUTE_PORTS.get(port).filter(|routes| routes.table != NO_TABLE) else {
        return Verdict::Pass;
    };
    let Some(ethernet) = Ethernet::parse(&skb) else { return Verdict::Pass };
    let Some(destination) = Destination::of(&skb, &ethernet) else { return Verdict::Pass };
    match route_cache::find(routes.table, &destination) {
        HOP_NONE => Verdict::Pass,
        hop => {
            NEXT_HOPS.get(hop).map_or(Verdict::Pass, |hop| take(ctx, &skb, port, routes, hop, &destination))
        }
    }
}

#[inline(always)]
fn take(
    ctx: &TcContext,
    skb: &Skb<'_>,
    port: u32,
    routes: &RoutePort,
    hop: &NextHop,
    destination: &Destination,
) -> Verdict {
    let next = match hop.kind {
        HOP_BLACKHOLE => return counters::drop(skb, port, DropReason::RouteBlackhole),
        HOP_GATEWAY => hop.gateway,
        HOP_ON_LINK => destination.address(),
        _ => return Verdict::Pass,
    };
    let ifindex = routes.devices.get(hop.device as usize).copied().unwrap_or_default();
    if ifindex == 0 {
        return counters::drop(skb, port, DropReason::RouteUnreachable);
    }
    mark_asked(ctx, ifindex);
    if redirect(ifindex, next) {
        Verdict::Redirected
    } else {
        counters::drop(skb, port, DropReason::RouteUnreachable)
    }
}

/// Whether a table has been asked about this packet; the mark ends here.
#[inline(always)]
fn has_been_asked(ctx: &TcContext, ifindex: u32) -> bool {
    // SAFETY: a field of the program's own context.
    unsafe {
        let is_marked = (*ctx.skb.skb).cb[MARK] == MARK_OF ^ ifindex;
        if is_marked {
            (*ctx.skb.skb).cb[MARK] = 0;
        }
        is_marked
    }
}

#[inline(always)]
fn mark_asked(ctx: &TcContext, ifindex: u32) {
    // SAFETY: as above.
    unsafe { (*ctx.skb.skb).cb[MARK] = MARK_OF ^ ifindex };
}

/// Prepares the redirect to a neighbour; whether the kernel took it.
#[inline(always)]
fn redirect(ifindex: u32, next: Address) -> bool {
    let [high, low] = [next.high, next.low].map(u64::to_be);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of each word")]
    let words = [high as u32, (high >> 32) as u32, low as u32, (low >> 32) as u32];
    let is_v4 = next.is_v4();
    let address = if is_v4 { [words[3], 0, 0, 0] } else { words };
    let mut neighbour = bpf_redir_neigh {
        nh_family: if is_v4 { AF_INET } else { AF_INET6 },
        __bindgen_anon_1: bpf_redir_neigh__bindgen_ty_1 { ipv6_nh: address },
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "20 bytes, and a tc action"
    )]
    // SAFETY: the helper copies the struct, whose size it is told.
    unsafe {
        bpf_redirect_neigh(ifindex, &raw mut neighbour, size_of::<bpf_redir_neigh>() as i32, 0) as i32
            == TC_ACT_REDIRECT
    }
}
