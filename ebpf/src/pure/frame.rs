//! Reading a frame.

/// Bytes that can be read at an offset, or not at all.
pub trait Frame {
    /// `N` bytes from `offset`, or nothing if the frame ends before.
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]>;

    /// The same for a header that nearly always lies at the front of the buffer, at a constant `offset`.
    #[inline(always)]
    fn read_front<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.read(offset)
    }

    /// The same as `N` words in little-endian order: each of them loaded at once, wherever it starts.
    #[inline(always)]
    fn read_words<const N: usize>(&self, offset: u32) -> Option<[u32; N]> {
        let mut words = [0; N];
        for (index, word) in (0_u32..).zip(&mut words) {
            *word = u32::from_le_bytes(self.read(offset + index * 4)?);
        }
        Some(words)
    }
}

impl Frame for [u8] {
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let start = offset as usize;
        self.get(start..start.checked_add(N)?)?.try_into().ok()
    }
}
