//! Frames as device buffers (XDP).

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_REDIRECT},
    helpers::bpf_xdp_get_buff_len,
    programs::XdpContext,
};
use plexus_abi::Verdict;

use super::load;
use crate::pure::frame::Frame;

/// A device buffer.
pub(crate) struct Buffer<'a>(pub(crate) &'a XdpContext);

impl Buffer<'_> {
    /// The device that received the frame.
    #[inline(always)]
    pub(crate) fn ifindex(&self) -> u32 {
        // SAFETY: the kernel passes a valid context.
        unsafe { (*self.0.ctx).ingress_ifindex }
    }

    /// All bytes of the frame, fragments included.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> u32 {
        // SAFETY: a helper on the program's own context.
        #[expect(clippy::cast_possible_truncation, reason = "a frame is shorter than 4 GiB")]
        unsafe {
            bpf_xdp_get_buff_len(self.0.ctx) as u32
        }
    }

    /// A checked pointer to a `T` at `offset` of the linear part.
    #[inline(always)]
    pub(crate) fn at<T>(&self, offset: u32) -> Option<*mut T> {
        let start = self.0.data() + offset as usize;
        (start + size_of::<T>() <= self.0.data_end()).then_some(start as *mut T)
    }
}

impl Frame for Buffer<'_> {
    #[inline(always)]
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        // SAFETY: `at` checked the bounds; a byte array has no alignment.
        self.at::<[u8; N]>(offset).map(|bytes| unsafe { *bytes })
    }

    #[inline(always)]
    fn read_words<const N: usize>(&self, offset: u32) -> Option<[u32; N]> {
        // SAFETY: `at` checked the bounds.
        self.at::<[u32; N]>(offset).map(|words| unsafe { load::words(words as usize) })
    }
}

/// The return code for a verdict; `ToPort` has been prepared by the redirect helper.
#[inline(always)]
pub fn conclude(verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Pass => XDP_PASS,
        Verdict::Consumed | Verdict::Drop(_) => XDP_DROP,
        Verdict::ToPort(_) | Verdict::ToDevice(_) | Verdict::Redirected => XDP_REDIRECT,
    }
}
