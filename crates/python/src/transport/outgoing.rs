//! What was written and has not been sent.

use std::collections::VecDeque;
use std::io::IoSlice;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustix::io::Errno;

use crate::ffi::buffer::Buffer;

/// As many pieces as one system call takes here; the kernel's limit is 1,024 (`IOV_MAX`).
const PIECES_PER_SEND: usize = 64;

/// Several pieces of no more bytes in all are copied together: the kernel takes longer to be told
/// of a second piece than the copy does.
const JOINED: usize = 1024;

/// One written piece.
pub(crate) enum Piece {
    /// The caller's own bytes object: immutable, so it is kept and not copied.
    Bytes(Py<PyBytes>),
    /// A copy of what the caller may change.
    Copied(Vec<u8>),
}

impl Piece {
    /// Keeps or copies what a bytes-like object holds now.
    ///
    /// # Errors
    /// `TypeError` if it has no buffer, `BufferError` if that is not contiguous.
    pub(crate) fn of(data: &Bound<'_, PyAny>) -> PyResult<Self> {
        // Not of a subclass, whose `__del__` would run whenever the last piece is sent.
        match data.cast_exact::<PyBytes>() {
            Ok(bytes) => Ok(Self::Bytes(bytes.clone().unbind())),
            Err(_) => Ok(Self::Copied(Buffer::read(data)?.to_vec())),
        }
    }

    pub(crate) fn as_slice(&self, py: Python<'_>) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes.as_bytes(py),
            Self::Copied(bytes) => bytes,
        }
    }
}

/// How a send went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Everything is with the kernel.
    All,
    /// The kernel takes no more until the socket is writable.
    Some,
}

/// The pieces in the order of writing, and how much of the first is sent already.
#[derive(Default)]
pub(crate) struct Outgoing {
    pieces: VecDeque<Piece>,
    sent_of_first: usize,
    len: usize,
}

impl Outgoing {
    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a piece, and returns its length.
    pub(crate) fn push(&mut self, py: Python<'_>, piece: Piece) -> usize {
        let len = piece.as_slice(py).len();
        if len > 0 {
            self.len += len;
            self.pieces.push_back(piece);
        }
        len
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Has `take` send, which says how many bytes of the pieces the kernel took, until nothing is
    /// left or it takes no more.
    ///
    /// # Errors
    /// What `take` fails with, other than that it would block.
    pub(crate) fn send(
        &mut self,
        py: Python<'_>,
        take: impl Fn(&[IoSlice<'_>]) -> Result<usize, Errno>,
    ) -> Result<Sent, Errno> {
        while !self.is_empty() {
            let (taken, offered) = self.offer(py, &take);
            let sent = match taken {
                Ok(sent) => sent,
                Err(Errno::AGAIN | Errno::INTR) => return Ok(Sent::Some),
                Err(error) => return Err(error),
            };
            self.forget(py, sent);
            if sent < offered {
                return Ok(Sent::Some);
            }
        }
        Ok(Sent::All)
    }

    /// Has `take` send what one system call takes; also says how many bytes that would be.
    #[inline]
    fn offer(
        &self,
        py: Python<'_>,
        take: impl Fn(&[IoSlice<'_>]) -> Result<usize, Errno>,
    ) -> (Result<usize, Errno>, usize) {
        let unsent = self.pieces.iter().enumerate().map(|(index, piece)| {
            let skip = if index == 0 { self.sent_of_first } else { 0 };
            &piece.as_slice(py)[skip..]
        });
        if self.pieces.len() > 1 && self.len <= JOINED {
            let mut joined = [0; JOINED];
            let mut room = &mut joined[..self.len];
            for bytes in unsent {
                let (place, rest) = room.split_at_mut(bytes.len());
                place.copy_from_slice(bytes);
                room = rest;
            }
            return (take(&[IoSlice::new(&joined[..self.len])]), self.len);
        }
        let mut slices = [IoSlice::new(&[]); PIECES_PER_SEND];
        let mut count = 0;
        let mut offered = 0;
        for (slice, bytes) in slices.iter_mut().zip(unsent) {
            *slice = IoSlice::new(bytes);
            offered += bytes.len();
            count += 1;
        }
        (take(&slices[..count]), offered)
    }

    /// Drops the first `sent` bytes.
    pub(crate) fn forget(&mut self, py: Python<'_>, sent: usize) {
        self.len -= sent;
        let mut left = self.sent_of_first + sent;
        while let Some(first) = self.pieces.front() {
            let len = first.as_slice(py).len();
            if left < len {
                break;
            }
            left -= len;
            self.pieces.pop_front();
        }
        self.sent_of_first = left;
    }
}
