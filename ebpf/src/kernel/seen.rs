//! Single frames for whoever looks: samples of drops, and captures.
//!
//! Off the fast path: functions of their own that are called where a frame is dropped while somebody looks, and where a
//! captured port's frame goes on. Budgets bound what looking costs; they need no clock, since the agent counts the
//! windows.
#![allow(clippy::cast_possible_truncation, reason = "sizes of records and EtherTypes are small")]

use aya_ebpf::{
    bindings::{__sk_buff, xdp_md},
    helpers::{bpf_ktime_get_ns, bpf_skb_load_bytes, bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
};
use plexus_abi::{
    CAPTURE_BYTES_MAX, Capture, Direction, DropReason, FDB_CAPTURED, FdbEntry, PORT_CAPTURED, PortConfig,
    SAMPLE_BYTES, SEEN_CAPTURE, SEEN_SAMPLE, SampleBudget, SeenHeader, Watch,
};

use super::{
    maps::{CAPTURES, SAMPLE_BUDGETS, SEEN, WATCH},
    skb::Skb,
    xdp::Buffer,
};

/// Most frames of a capture fit into this; longer ones take a larger record. All sizes are powers of two.
const USUAL_BYTES: usize = 2048;
const LARGEST_BYTES: usize = (CAPTURE_BYTES_MAX as usize).next_power_of_two();

/// Whence the bytes of a frame come.
pub(crate) trait Sight {
    /// Shows a drop to whoever looks.
    fn dropped(&self, port: u32, reason: u32, direction: u32);
}

impl Sight for Skb<'_> {
    #[inline(always)]
    fn dropped(&self, port: u32, reason: u32, direction: u32) {
        skb_dropped(self.as_ptr(), port, reason, direction);
    }
}

impl Sight for Buffer<'_> {
    #[inline(always)]
    fn dropped(&self, port: u32, reason: u32, direction: u32) {
        xdp_dropped(self.0.ctx, port, reason, direction);
    }
}

/// Shows a dropped frame, if anybody looks.
#[inline(always)]
pub(crate) fn dropped<S: Sight>(frame: &S, port: u32, reason: DropReason) {
    if WATCH.get(0).is_some_and(|watch| watch.window != 0) {
        frame.dropped(port, reason as u32, reason.direction() as u32);
    }
}

/// Captures a frame from a pod that goes on, if anybody captures.
#[inline(always)]
pub(crate) fn from_pod(skb: &Skb<'_>, port: u32, config: &PortConfig) {
    if config.has(PORT_CAPTURED) {
        skb_captured(skb.as_ptr(), port, Direction::FromPod as u32);
    }
}

/// Captures a frame that goes to a pod, if anybody captures.
#[inline(always)]
pub(crate) fn to_pod(skb: &Skb<'_>, port: u32, config: &PortConfig) {
    if config.has(PORT_CAPTURED) {
        skb_captured(skb.as_ptr(), port, Direction::ToPod as u32);
    }
}

/// The same where the port was found by its MAC and its configuration was not read.
#[inline(always)]
pub(crate) fn to_owner(skb: &Skb<'_>, owner: FdbEntry) {
    if owner.flags & FDB_CAPTURED != 0 {
        skb_captured(skb.as_ptr(), owner.port, Direction::ToPod as u32);
    }
}

/// What is the same for every record of one frame.
struct Frame<L> {
    load: L,
    header: SeenHeader,
}

#[inline(never)]
fn skb_dropped(skb: *mut __sk_buff, port: u32, reason: u32, direction: u32) -> u32 {
    show_drop(&of_skb(skb, port, reason, direction))
}

#[inline(never)]
fn xdp_dropped(xdp: *mut xdp_md, port: u32, reason: u32, direction: u32) -> u32 {
    // SAFETY: helpers on the program's own context; the kernel checks both ranges.
    let load = move |to: *mut u8, bytes: u32| unsafe { bpf_xdp_load_bytes(xdp, 0, to.cast(), bytes) == 0 };
    // SAFETY: as above.
    let frame_bytes = unsafe { bpf_xdp_get_buff_len(xdp) as u32 };
    let header = SeenHeader { port, reason, direction, frame_bytes, ..SeenHeader::ZERO };
    show_drop(&Frame { load, header })
}

#[inline(never)]
fn skb_captured(skb: *mut __sk_buff, port: u32, direction: u32) -> u32 {
    let Some(watch) = WATCH.get(0) else { return 0 };
    capture(&of_skb(skb, port, 0, direction), watch);
    0
}

#[inline(always)]
fn of_skb(
    skb: *mut __sk_buff,
    port: u32,
    reason: u32,
    direction: u32,
) -> Frame<impl Fn(*mut u8, u32) -> bool> {
    // SAFETY: a helper on the program's own context; the kernel checks both ranges.
    let load =
        move |to: *mut u8, bytes: u32| unsafe { bpf_skb_load_bytes(skb.cast(), 0, to.cast(), bytes) == 0 };
    // SAFETY: the kernel passes a valid context for the whole run of the program.
    let (frame_bytes, tag) = unsafe {
        // The EtherType is in network order, in a word of the host's.
        let ethertype = u32::from(u16::from_be((*skb).vlan_proto as u16));
        ((*skb).len, if (*skb).vlan_present != 0 { ethertype << 16 | ((*skb).vlan_tci & 0xffff) } else { 0 })
    };
    let header = SeenHeader { port, reason, direction, frame_bytes, tag, ..SeenHeader::ZERO };
    Frame { load, header }
}

#[inline(always)]
fn show_drop<L: Fn(*mut u8, u32) -> bool>(frame: &Frame<L>) -> u32 {
    let Some(watch) = WATCH.get(0) else { return 0 };
    if watch.samples_max != 0 {
        sample(frame, watch);
    }
    if watch.frames_max != 0 {
        capture(frame, watch);
    }
    0
}

#[inline(always)]
fn sample<L: Fn(*mut u8, u32) -> bool>(frame: &Frame<L>, watch: &Watch) {
    let Some(budget) = SAMPLE_BUDGETS.get_ptr_mut(0) else { return };
    // SAFETY: a per-CPU slot of a map that outlives the program; programs of one CPU run to their end one by one.
    let budget: &mut SampleBudget = unsafe { &mut *budget };
    if budget.window != watch.window {
        budget.window = watch.window;
        budget.left = watch.samples_max;
    }
    if budget.left != 0 {
        budget.left -= 1;
        if emit::<SAMPLE_BYTES, L>(frame, SEEN_SAMPLE, SAMPLE_BYTES as u32) {
            return;
        }
    }
    budget.suppressed += 1;
}

#[inline(always)]
fn capture<L: Fn(*mut u8, u32) -> bool>(frame: &Frame<L>, watch: &Watch) {
    let Some(capture) = CAPTURES.get_ptr_mut(frame.header.port) else { return };
    // SAFETY: as above.
    let capture: &mut Capture = unsafe { &mut *capture };
    if capture.window != watch.window {
        capture.window = watch.window;
        capture.frames_left = watch.frames_max;
        capture.bytes_left = watch.bytes_max;
    }
    let wanted = capture.bytes_wanted.min(frame.header.frame_bytes);
    if capture.frames_left != 0 && capture.bytes_left >= wanted {
        capture.frames_left -= 1;
        capture.bytes_left -= wanted;
        let is_shown = if wanted <= SAMPLE_BYTES as u32 {
            emit::<SAMPLE_BYTES, L>(frame, SEEN_CAPTURE, wanted)
        } else if wanted <= USUAL_BYTES as u32 {
            emit::<USUAL_BYTES, L>(frame, SEEN_CAPTURE, wanted)
        } else {
            emit::<LARGEST_BYTES, L>(frame, SEEN_CAPTURE, wanted)
        };
        if is_shown {
            capture.frames += 1;
            return;
        }
    }
    capture.lost += 1;
}

/// A record with room for `N` bytes; the kernel wants a size that is known when the program is loaded.
#[repr(C)]
struct Record<const N: usize> {
    header: SeenHeader,
    bytes: [u8; N],
}

/// The same number, in a form that shows the verifier its bounds: what the compiler knows of it, it would compute in
/// another register than the one that the helper gets.
#[inline(always)]
fn from_one_to<const N: usize>(number: u32) -> u32 {
    const { assert!(N.is_power_of_two()) };
    let less = number.wrapping_sub(1);
    // SAFETY: a variable of this function, read where it is.
    let unknown = unsafe { (&raw const less).read_volatile() };
    (unknown & (N as u32 - 1)) + 1
}

/// Writes a record of at most `N` bytes; whether there was room.
#[inline(always)]
fn emit<const N: usize, L: Fn(*mut u8, u32) -> bool>(frame: &Frame<L>, kind: u32, wanted: u32) -> bool {
    let Some(mut entry) = SEEN.reserve::<Record<N>>(0) else { return false };
    let record = entry.as_mut_ptr();
    let wanted = wanted.min(frame.header.frame_bytes).min(N as u32);
    if wanted == 0 {
        entry.discard(0);
        return false;
    }
    let bytes = from_one_to::<N>(wanted);
    // SAFETY: a helper without arguments, and memory that was reserved for the whole record.
    let is_read = unsafe {
        let header = SeenHeader { time_ns: bpf_ktime_get_ns(), kind, captured_bytes: bytes, ..frame.header };
        (&raw mut (*record).header).write(header);
        (frame.load)((&raw mut (*record).bytes).cast(), bytes)
    };
    if is_read {
        entry.submit(0);
    } else {
        entry.discard(0);
    }
    is_read
}
