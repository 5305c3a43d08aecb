//! One atomic word of a map value.
//!
//! The compiler's BPF target declares no compare-and-swap, so `AtomicU64` lacks it there; the instruction exists from
//! BPF v3 on (Linux 5.12), and the intrinsics reach it.

use core::intrinsics::{self, AtomicOrdering::Relaxed};

/// A u64 that several CPUs change.
pub(crate) struct Word(*mut u64);

impl Word {
    /// # Safety
    /// `word` points into a map value, aligned to 8 bytes, that programs touch through this type only.
    #[inline(always)]
    pub(crate) unsafe fn new(word: *mut u64) -> Self {
        Self(word)
    }

    #[inline(always)]
    pub(crate) fn load(&self) -> u64 {
        // SAFETY: as `new` demands. LLVM has no relaxed load for BPF; an aligned load of 8 bytes is one access.
        unsafe { self.0.read_volatile() }
    }

    /// Stores `new` if the word is still `old`, else returns what it is.
    #[inline(always)]
    pub(crate) fn replace(&self, old: u64, new: u64) -> Result<(), u64> {
        // SAFETY: as `new` demands.
        let (seen, stored) =
            unsafe { intrinsics::atomic_cxchg::<u64, { Relaxed }, { Relaxed }>(self.0, old, new) };
        if stored { Ok(()) } else { Err(seen) }
    }

    #[inline(always)]
    pub(crate) fn add(&self, amount: u64) {
        // SAFETY: as `new` demands.
        unsafe { intrinsics::atomic_xadd::<u64, u64, { Relaxed }>(self.0, amount) };
    }
}
