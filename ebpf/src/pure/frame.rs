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
}

impl Frame for [u8] {
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let start = offset as usize;
        self.get(start..start.checked_add(N)?)?.try_into().ok()
    }
}
