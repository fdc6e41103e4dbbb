//! Receiving into bytes objects: small reads land in a buffer of the loop's first, and are copied
//! into an object of their size.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustix::io::Errno;

use crate::event_loop::LoopCore;
use crate::ffi::bytes::bytes_filled_by;

/// As much as one read takes at most; asyncio's own `max_size`.
pub(crate) const READ_SIZE: usize = 256 * 1024;

/// Reads that are expected to bring less than this are copied out of the shared buffer, which costs
/// less than allocating for the worst case; above, the copy would cost more (4 KiB is about 100 ns).
const COPY_BELOW: usize = 4 * 1024;

/// The room of a read that is expected to bring less than that: malloc has blocks of this size at
/// hand.
const MEDIUM_SIZE: usize = 64 * 1024;

const PAGE: usize = 4096;

/// A page-aligned buffer: a misaligned one can halve the kernel's copying speed.
pub(crate) struct ReceiveBuffer(Vec<MaybeUninit<u8>>);

impl Default for ReceiveBuffer {
    fn default() -> Self {
        raise_the_mmap_threshold();
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

/// glibc has the system map each block above a threshold anew, which costs more than to fill it.
/// The threshold rises to the largest such block that was ever freed (`mallopt(3)`), and a bytes
/// object that has shrunk to what was read is none; nor is memory below twice as much given back.
fn raise_the_mmap_threshold() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(4 * READ_SIZE)));
}

/// What a read brought.
pub(super) enum Received<'py> {
    Data(Bound<'py, PyBytes>),
    End,
    /// Nothing yet.
    Blocked,
    Failed(Errno),
}

/// Receives for one transport, and remembers how much its reads bring: of a message that comes in
/// pieces the last may be tiny, and the next message is as large.
#[derive(Default)]
pub(super) struct Receiver {
    /// Rises at once to what a read brings, and falls by an eighth with each that brings less.
    expected: AtomicUsize,
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
        let expected = self.expected.load(Ordering::Relaxed);
        let received = if expected < COPY_BELOW {
            let mut buffer = core.take_receive_buffer(py);
            let filled = fill(&mut buffer.room()[..at_most]).map(|filled| PyBytes::new(py, filled));
            core.put_receive_buffer(py, buffer);
            filled
        } else {
            let room = if expected < MEDIUM_SIZE { MEDIUM_SIZE } else { READ_SIZE }.min(at_most);
            bytes_filled_by(py, room, |room| fill(room).map(|filled| filled.len()))?
        };
        let data = match received {
            Ok(data) => data,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(Received::Blocked),
            Err(errno) => return Ok(Received::Failed(errno)),
        };
        let len = data.as_bytes().len();
        self.expected.store(len.max(expected - expected / 8), Ordering::Relaxed);
        Ok(if len == 0 { Received::End } else { Received::Data(data) })
    }
}
