//! Where small reads land before they are copied into a bytes object of their size.

use std::mem::MaybeUninit;

/// As much as one read takes at most; asyncio's own `max_size`.
pub(crate) const READ_SIZE: usize = 256 * 1024;

/// Reads that fill less than this are copied out of the shared buffer, which costs less than
/// allocating for the worst case; above, the copy would cost more (4 KiB is about 100 ns).
pub(crate) const COPY_BELOW: usize = 4 * 1024;

const PAGE: usize = 4096;

/// A page-aligned buffer: a misaligned one can halve the kernel's copying speed.
pub(crate) struct ReceiveBuffer(Vec<MaybeUninit<u8>>);

impl Default for ReceiveBuffer {
    fn default() -> Self {
        Self(vec![MaybeUninit::uninit(); READ_SIZE + PAGE])
    }
}

impl ReceiveBuffer {
    /// The `READ_SIZE` bytes to receive into.
    pub(crate) fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        let start = self.0.as_ptr().align_offset(PAGE).min(PAGE);
        &mut self.0[start..start + READ_SIZE]
    }
}
