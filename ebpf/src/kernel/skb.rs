//! Frames as socket buffers (tcx).

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::{__sk_buff, TC_ACT_REDIRECT, TC_ACT_SHOT, TC_ACT_UNSPEC},
    helpers::{bpf_redirect, bpf_redirect_peer, bpf_skb_change_type, bpf_skb_load_bytes},
    programs::TcContext,
};
use plexus_abi::{Verdict, port_ifindex};

use super::load;
use crate::pure::{
    ethernet::{ETHERTYPE_SERVICE_VLAN, ETHERTYPE_VLAN, Ethernet, TAG_BYTES, Tag, Tags},
    frame::Frame,
    wire::{self, Wire},
};

/// `PACKET_HOST` of linux/if_packet.h: for this machine.
const PACKET_HOST: u32 = 0;

/// A socket buffer.
pub(crate) struct Skb<'a>(&'a __sk_buff);

impl<'a> Skb<'a> {
    #[inline(always)]
    pub(crate) fn new(ctx: &'a TcContext) -> Self {
        // SAFETY: the kernel passes a valid context for the whole run of the program.
        Self(unsafe { &*ctx.skb.skb })
    }

    /// # Safety
    /// `skb` is the context of the running program.
    #[inline(always)]
    pub(crate) unsafe fn of(skb: *mut __sk_buff) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { &*skb })
    }

    /// The device whose hook runs.
    #[inline(always)]
    pub(crate) fn ifindex(&self) -> u32 {
        self.0.ifindex
    }

    /// All bytes of the packet, tag included if it is among them.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> u32 {
        self.0.len
    }

    /// Whether the device or the sender put a VLAN tag beside the frame's bytes.
    #[inline(always)]
    pub(crate) fn has_metadata_tag(&self) -> bool {
        self.0.vlan_present != 0
    }

    /// Whether the frame is for the device's own address, and so for the host.
    #[inline(always)]
    pub(crate) fn is_for_host(&self) -> bool {
        self.0.pkt_type == PACKET_HOST
    }

    /// The tags beside the bytes and among them; nothing where a service tag stands alone, which no network uses.
    #[inline(always)]
    pub(crate) fn tags(&self, ethernet: &Ethernet) -> Option<Tags> {
        if self.has_metadata_tag() && self.0.vlan_proto != u32::from(ETHERTYPE_VLAN.to_be()) {
            #[expect(clippy::cast_possible_truncation, reason = "the field holds 16 bits")]
            let service = Tag::new(self.0.vlan_tci as u16);
            let is_ours = self.0.vlan_proto == u32::from(ETHERTYPE_SERVICE_VLAN.to_be())
                && service.vlan() != 0
                && ethernet.tag.is_present;
            return is_ours.then_some(Tags { service, customer: ethernet.tag });
        }
        if !self.has_metadata_tag() && ethernet.has_service_tag() {
            return Tags::stacked(self);
        }
        Some(Tags::single(self.tag(ethernet)))
    }

    /// The outermost tag: beside the bytes, else among them.
    #[inline(always)]
    pub(crate) fn tag(&self, ethernet: &Ethernet) -> Tag {
        #[expect(clippy::cast_possible_truncation, reason = "the field holds 16 bits")]
        if self.has_metadata_tag() { Tag::new(self.0.vlan_tci as u16) } else { ethernet.tag }
    }

    /// What the frame weighs on the wire without its tag.
    #[inline(always)]
    pub(crate) fn wire(&self, ethernet: &Ethernet) -> Wire {
        let tag_bytes = if ethernet.tag.is_present { TAG_BYTES } else { 0 };
        let bytes = self.0.len - tag_bytes;
        if self.0.gso_segs <= 1 {
            return Wire::single(bytes);
        }
        Wire::segmented(bytes, self.0.gso_segs, wire::header_bytes(self, ethernet) - tag_bytes)
    }

    /// Has fq hold the packet until then, in nanoseconds of the monotonic clock, unless its sender wants it later.
    #[inline(always)]
    pub(crate) fn leave_at(&self, time_ns: u64) {
        if self.0.tstamp < time_ns {
            // SAFETY: the kernel lets tc programs write this field of their own context.
            unsafe { core::ptr::addr_of_mut!((*self.as_ptr()).tstamp).write_volatile(time_ns) };
        }
    }

    #[inline(always)]
    pub(crate) fn as_ptr(&self) -> *mut __sk_buff {
        core::ptr::from_ref(self.0).cast_mut()
    }
}

impl Frame for Skb<'_> {
    #[inline(always)]
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let mut bytes = MaybeUninit::<[u8; N]>::uninit();
        // SAFETY: the helper writes all N bytes of the buffer or fails.
        unsafe {
            #[expect(clippy::cast_possible_truncation, reason = "N is a header's size")]
            let result =
                bpf_skb_load_bytes(self.as_ptr().cast(), offset, bytes.as_mut_ptr().cast(), N as u32);
            (result == 0).then(|| bytes.assume_init())
        }
    }

    /// Without a helper's call where the bytes are in the linear part; behind it they are copied.
    #[inline(always)]
    fn read_front<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let start = self.0.data as usize + offset as usize;
        if start + N <= self.0.data_end as usize {
            // SAFETY: the bounds were checked, as the verifier sees; a byte array has no alignment.
            return Some(unsafe { *(start as *const [u8; N]) });
        }
        self.read(offset)
    }

    #[inline(always)]
    fn read_words<const N: usize>(&self, offset: u32) -> Option<[u32; N]> {
        let start = self.0.data as usize + offset as usize;
        if start + N * size_of::<u32>() <= self.0.data_end as usize {
            // SAFETY: the bounds were checked, as the verifier sees.
            return Some(unsafe { load::words(start) });
        }
        let mut words = [0; N];
        for (index, word) in (0_u32..).zip(&mut words) {
            *word = u32::from_le_bytes(self.read(offset + index * 4)?);
        }
        Some(words)
    }
}

/// Carries the verdict of a program in a netkit pair out.
///
/// It runs while the pod sends: there `bpf_redirect_peer` drops without a word (`skb_do_redirect`, net/core/filter.c). The
/// host's end of the other port hands over to its pod as well, be it netkit or veth.
#[inline(always)]
pub fn conclude_netkit(verdict: Verdict, ctx: &TcContext) -> i32 {
    match verdict {
        Verdict::ToPort(port) => conclude(Verdict::ToDevice(port_ifindex(port)), ctx),
        other => conclude(other, ctx),
    }
}

/// Carries a verdict out.
#[inline(always)]
pub fn conclude(verdict: Verdict, ctx: &TcContext) -> i32 {
    match verdict {
        Verdict::Pass => TC_ACT_UNSPEC,
        Verdict::Consumed | Verdict::Drop(_) => TC_ACT_SHOT,
        Verdict::Redirected => TC_ACT_REDIRECT,
        Verdict::ToPort(port) => {
            // SAFETY: helpers on the program's own context. The veth took the frame for another machine's, because
            // its own MAC is not the pod's; older kernels leave that mark when they redirect to the peer.
            #[expect(clippy::cast_possible_truncation, reason = "a tc action")]
            unsafe {
                bpf_skb_change_type(ctx.skb.skb, PACKET_HOST);
                bpf_redirect_peer(port_ifindex(port), 0) as i32
            }
        }
        // SAFETY: a helper without pointers.
        #[expect(clippy::cast_possible_truncation, reason = "a tc action")]
        Verdict::ToDevice(ifindex) => unsafe { bpf_redirect(ifindex, 0) as i32 },
    }
}
