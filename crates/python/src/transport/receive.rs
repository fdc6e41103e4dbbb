//! Receiving into bytes objects: small reads land in a buffer of the loop's first, and are copied
//! into an object of their size.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustix::io::Errno;

use crate::event_loop::LoopCore;
use crate::ffi::bytes::bytes_filled_by;

/// As much as one read takes at most; asyncio's own `max_size`.
pub(crate) const READ_SIZE: usize = 256 * 1024;

/// Reads that fill less than this are copied out of the shared buffer, which costs less than
/// allocating for the worst case; above, the copy would cost more (4 KiB is about 100 ns).
const COPY_BELOW: usize = 4 * 1024;

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

/// What a read brought.
pub(super) enum Received<'py> {
    Data(Bound<'py, PyBytes>),
    End,
    /// Nothing yet.
    Blocked,
    Failed(Errno),
}

/// Receives for one transport, and remembers how the last read went: after a large one the next
/// goes straight into a bytes object.
#[derive(Default)]
pub(super) struct Receiver {
    last_was_large: AtomicBool,
}

impl Receiver {
    /// Reads by `fill`, which gives back the part of the memory that it has filled, at most
    /// `at_most` bytes (of `READ_SIZE`).
    #[inline]
    pub(super) fn receive<'py>(
        &self,
        py: Python<'py>,
        core: &LoopCore,
        at_most: usize,
        fill: impl FnOnce(&mut [MaybeUninit<u8>]) -> Result<&mut [u8], Errno>,
    ) -> PyResult<Received<'py>> {
        let large = self.last_was_large.load(Ordering::Relaxed);
        let received = if large {
            bytes_filled_by(py, at_most, |room| fill(room).map(|filled| filled.len()))?
        } else {
            let mut buffer = core.take_receive_buffer(py);
            let filled = fill(&mut buffer.room()[..at_most]).map(|filled| PyBytes::new(py, filled));
            core.put_receive_buffer(py, buffer);
            filled
        };
        let data = match received {
            Ok(data) => data,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(Received::Blocked),
            Err(errno) => return Ok(Received::Failed(errno)),
        };
        let len = data.as_bytes().len();
        if large != (len >= COPY_BELOW) {
            self.last_was_large.store(len >= COPY_BELOW, Ordering::Relaxed);
        }
        Ok(if len == 0 { Received::End } else { Received::Data(data) })
    }
}
