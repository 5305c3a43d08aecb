//! Words of a frame, each loaded at once.
//!
//! A header starts anywhere, so the compiler would load it byte by byte and put the bytes together; the processors that
//! Plexus runs on need one instruction. LLVM can be told (`allows-misaligned-mem-access`), but then it splits words on the
//! stack as well, which the verifier refuses.

use core::arch::asm;

/// `N` words in little-endian order from `start`.
///
/// # Safety
/// The verifier knows that the packet holds them: `start` comes from the context and was compared with the packet's end.
#[inline(always)]
pub(crate) unsafe fn words<const N: usize>(start: usize) -> [u32; N] {
    let mut words = [0; N];
    for (index, word) in words.iter_mut().enumerate() {
        let from = start + index * size_of::<u32>();
        let loaded: u64;
        // SAFETY: the caller's promise; a load changes nothing.
        unsafe {
            asm!("{0} = *(u32 *)({1} + 0)", out(reg) loaded, in(reg) from, options(pure, readonly, nostack));
        }
        #[expect(clippy::cast_possible_truncation, reason = "32 bits were loaded")]
        {
            *word = (loaded as u32).to_le();
        }
    }
    words
}
