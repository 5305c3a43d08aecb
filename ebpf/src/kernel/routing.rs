//! The ways of a packet on a network that routes: by address from pod to pod, by the kernel's table to elsewhere.
//!
//! What needs an ICMP error, options or a neighbour that is not known yet passes to the kernel's stack, which has a route
//! to each pod.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::{BPF_F_RECOMPUTE_CSUM, bpf_check_mtu_flags::BPF_MTU_CHK_SEGS, bpf_fib_lookup},
    helpers::{bpf_check_mtu, bpf_fib_lookup as look_up_route, bpf_l3_csum_replace, bpf_skb_store_bytes},
    programs::TcContext,
};
use plexus_abi::{
    Address, Direction, DropReason, GATEWAY_MAC, PORT_IFINDEX_BASE, PortConfig, Verdict, port_id,
    port_ifindex,
};

use super::{
    counters::{self, Slot},
    fdb, from_pod,
    policer::{self, Moment},
    seen,
    skb::Skb,
};
use crate::pure::{
    ethernet::{Ethernet, Tags},
    hop::Hop,
    wire::Wire,
};

/// Address families of linux/socket.h.
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Where TTL, checksum (IPv4) and hop limit (IPv6) are in their headers.
const V4_TTL: u32 = 8;
const V4_CHECKSUM: u32 = 10;
const V6_HOP_LIMIT: u32 = 7;

/// A packet that a pod sends.
#[inline(always)]
pub fn from_pod(ctx: &TcContext) -> Verdict {
    let skb = Skb::new(ctx);
    let id = port_id(skb.ifindex());
    let (Some(port), Some(mut slot)) = (fdb::port(id), Slot::of(id)) else {
        return counters::drop(&skb, id, DropReason::NotConfigured);
    };
    let mut moment = Moment::default();
    match from_pod::accept(&skb, id, port, &mut slot, &mut moment) {
        Ok((ethernet, wire)) => route(&skb, id, port, &ethernet, wire, &mut moment),
        Err(reason) => counters::drop(&skb, id, reason),
    }
}

#[inline(always)]
fn route(
    skb: &Skb<'_>,
    id: u32,
    port: &PortConfig,
    ethernet: &Ethernet,
    wire: Wire,
    moment: &mut Moment,
) -> Verdict {
    if ethernet.is_group() {
        return counters::drop(skb, id, DropReason::NotRouted);
    }
    let Some(hop) = Hop::parse(skb, ethernet) else { return counters::drop(skb, id, DropReason::NotRouted) };
    // As the pod sent it; below it is rewritten.
    seen::from_pod(skb, id, port);
    if hop.is_for_stack {
        return Verdict::Pass;
    }
    match fdb::host(port.network, hop.destination) {
        Some(member) if member == id => counters::drop(skb, id, DropReason::UnknownDestination),
        Some(member) => deliver(skb, member, &hop, wire, moment),
        None => out(skb, id, &hop),
    }
}

/// A packet that arrives on the uplink: one for a pod goes there, everything else is the stack's.
#[inline(always)]
pub(super) fn from_uplink(
    skb: &Skb<'_>,
    ethernet: &Ethernet,
    network: u32,
    tags: Tags,
    wire: Wire,
) -> Verdict {
    if tags.customer.is_present || ethernet.is_group() || !skb.is_for_host() {
        return Verdict::Pass;
    }
    let Some(hop) = Hop::parse(skb, ethernet) else { return Verdict::Pass };
    if hop.is_for_stack {
        return Verdict::Pass;
    }
    match fdb::host(network, hop.destination) {
        Some(member) => deliver(skb, member, &hop, wire, &mut Moment::default()),
        None => Verdict::Pass,
    }
}

#[inline(always)]
fn deliver(skb: &Skb<'_>, member: u32, hop: &Hop, wire: Wire, moment: &mut Moment) -> Verdict {
    // A port that went between lookup and here: the stack knows better.
    let (Some(target), Some(mut slot)) = (fdb::port(member), Slot::of(member)) else { return Verdict::Pass };
    if !fits(skb, port_ifindex(member)) {
        return Verdict::Pass;
    }
    if !policer::admit(&mut slot, member, Direction::ToPod, wire.bytes, moment) {
        return counters::drop(skb, member, DropReason::PolicedToPod);
    }
    if !rewrite(skb, hop, target.mac, GATEWAY_MAC) {
        return counters::drop(skb, member, DropReason::DeliveryFailed);
    }
    slot.count_to_pod(wire);
    seen::to_pod(skb, member, target);
    Verdict::ToPort(member)
}

/// Out of the node by the kernel's routing table, if it knows the next hop's hardware address.
#[inline(always)]
fn out(skb: &Skb<'_>, id: u32, hop: &Hop) -> Verdict {
    // SAFETY: plain integers and unions of such; zero is valid.
    let mut route: bpf_fib_lookup = unsafe { MaybeUninit::zeroed().assume_init() };
    route.ifindex = skb.ifindex();
    let (source, destination) = (words(hop.source), words(hop.destination));
    if hop.is_v4 {
        route.family = AF_INET;
        route.__bindgen_anon_3.ipv4_src = source[3];
        route.__bindgen_anon_4.ipv4_dst = destination[3];
    } else {
        route.family = AF_INET6;
        route.__bindgen_anon_3.ipv6_src = source;
        route.__bindgen_anon_4.ipv6_dst = destination;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "a struct of 64 bytes")]
    let bytes = size_of::<bpf_fib_lookup>() as i32;
    // SAFETY: the program's own context, and a struct of the size that is passed.
    let found = unsafe { look_up_route(skb.as_ptr().cast(), &raw mut route, bytes, 0) };
    // Not found, too big, no neighbour: the stack does what a router does. A pod of another network is its business too.
    if found != 0 || route.ifindex >= PORT_IFINDEX_BASE {
        return Verdict::Pass;
    }
    if !rewrite(skb, hop, route.dmac, route.smac) {
        return counters::drop(skb, id, DropReason::UplinkFailed);
    }
    Verdict::ToDevice(route.ifindex)
}

/// An address as the kernel's lookup takes it: words in network order, IPv4 in the last.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the halves of each number")]
fn words(address: Address) -> [u32; 4] {
    [
        ((address.high >> 32) as u32).to_be(),
        (address.high as u32).to_be(),
        ((address.low >> 32) as u32).to_be(),
        (address.low as u32).to_be(),
    ]
}

/// Whether the device's MTU takes the packet, or every segment of an offload packet.
#[inline(always)]
fn fits(skb: &Skb<'_>, ifindex: u32) -> bool {
    let mut mtu = 0_u32;
    // SAFETY: the program's own context, and a word that outlives the call.
    unsafe { bpf_check_mtu(skb.as_ptr().cast(), ifindex, &raw mut mtu, 0, BPF_MTU_CHK_SEGS.into()) == 0 }
}

/// What a router writes: the next hop's addresses, and one hop less. Whether it worked.
#[inline(always)]
fn rewrite(skb: &Skb<'_>, hop: &Hop, destination: [u8; 6], source: [u8; 6]) -> bool {
    let [d0, d1, d2, d3, d4, d5] = destination;
    let [s0, s1, s2, s3, s4, s5] = source;
    if !store(skb, 0, [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5], 0) {
        return false;
    }
    let hops = hop.hops.wrapping_sub(1);
    if !hop.is_v4 {
        return store(skb, hop.offset + V6_HOP_LIMIT, [hops], BPF_F_RECOMPUTE_CSUM.into());
    }
    let old = u16::from_ne_bytes([hop.hops, hop.protocol]);
    let new = u16::from_ne_bytes([hops, hop.protocol]);
    let checksum = hop.offset + V4_CHECKSUM;
    // SAFETY: a helper on the program's own context.
    let summed = unsafe { bpf_l3_csum_replace(skb.as_ptr(), checksum, old.into(), new.into(), 2) == 0 };
    summed && store(skb, hop.offset + V4_TTL, [hops], 0)
}

#[inline(always)]
fn store<const N: usize>(skb: &Skb<'_>, offset: u32, bytes: [u8; N], flags: u64) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "N is a header's size")]
    // SAFETY: the helper reads N bytes of the array.
    unsafe {
        bpf_skb_store_bytes(skb.as_ptr(), offset, bytes.as_ptr().cast(), N as u32, flags) == 0
    }
}
