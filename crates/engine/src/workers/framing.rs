//! Frames: a tag, a length, and so many bytes; the same in both directions.

use std::io::{self, ErrorKind, Read};

/// The tag and the length of the body, eight bytes each, in the machine's own order: both ends
/// are the same program on the same machine.
pub const HEADER: usize = 16;

/// A frame that has arrived whole. What the tag means is between the two ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What kind of body it is.
    pub tag: u64,
    /// The body.
    pub body: Vec<u8>,
}

/// A frame to send, with `write_body` appending the body to what it is given.
///
/// # Errors
/// That of `write_body`.
pub fn frame<E>(
    tag: u64,
    write_body: impl FnOnce(Vec<u8>) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, E> {
    let mut header = Vec::with_capacity(64);
    header.extend_from_slice(&tag.to_ne_bytes());
    header.extend_from_slice(&0_u64.to_ne_bytes());
    let mut frame = write_body(header)?;
    let len = frame.len() - HEADER;
    frame[8..HEADER].copy_from_slice(&(len as u64).to_ne_bytes());
    Ok(frame)
}

/// A frame on its way in, as far as it has come.
#[derive(Debug, Default)]
pub struct FrameReader {
    header: [u8; HEADER],
    body: Vec<u8>,
    /// How much has arrived, header included.
    arrived: usize,
}

impl FrameReader {
    /// Reads from `source` until a frame is whole. After an error it can be called again, when
    /// `source` would no longer block, and goes on where it was.
    ///
    /// `None` is the end of `source` between two frames.
    ///
    /// # Errors
    /// Those of `source` but for `Interrupted`; `UnexpectedEof` for an end in the middle of a
    /// frame; `OutOfMemory` when there is not enough for the body.
    pub fn read(&mut self, mut source: impl Read) -> io::Result<Option<Frame>> {
        while self.arrived < HEADER || self.arrived < HEADER + self.body.len() {
            let rest = if self.arrived < HEADER {
                &mut self.header[self.arrived..]
            } else {
                &mut self.body[self.arrived - HEADER..]
            };
            match source.read(rest) {
                Ok(0) if self.arrived == 0 => return Ok(None),
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(len) => self.arrived += len,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if self.arrived == HEADER {
                let len = usize::try_from(self.number(8)).map_err(|_| ErrorKind::OutOfMemory)?;
                self.body.try_reserve_exact(len).map_err(|_| ErrorKind::OutOfMemory)?;
                self.body.resize(len, 0);
            }
        }
        self.arrived = 0;
        Ok(Some(Frame { tag: self.number(0), body: std::mem::take(&mut self.body) }))
    }

    fn number(&self, at: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.header[at..at + 8]);
        u64::from_ne_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn framed(tag: u64, body: &[u8]) -> Vec<u8> {
        frame(tag, |mut out| {
            out.extend_from_slice(body);
            Ok::<_, Infallible>(out)
        })
        .unwrap()
    }

    /// Gives `pieces` one at a time, and would block after each.
    struct InPieces(Vec<Vec<u8>>, bool);

    impl Read for InPieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(ErrorKind::WouldBlock.into());
            }
            let Some(piece) = self.0.first_mut() else { return Ok(0) };
            let len = piece.len().min(buffer.len());
            buffer[..len].copy_from_slice(&piece[..len]);
            piece.drain(..len);
            if piece.is_empty() {
                self.0.remove(0);
            }
            Ok(len)
        }
    }

    #[test]
    fn frames_arrive_as_they_were_sent_however_they_are_cut() {
        let sent = [framed(1, b""), framed(u64::MAX, b"hello"), framed(7, &[9; 1000])].concat();
        for size in [1, 3, 16, 17, 500, 5000] {
            let mut source = InPieces(sent.chunks(size).map(<[u8]>::to_vec).collect(), false);
            let mut reader = FrameReader::default();
            let mut next = || {
                loop {
                    match reader.read(&mut source) {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        done => return done.unwrap(),
                    }
                }
            };
            assert_eq!(next(), Some(Frame { tag: 1, body: Vec::new() }));
            assert_eq!(next(), Some(Frame { tag: u64::MAX, body: b"hello".to_vec() }));
            assert_eq!(next(), Some(Frame { tag: 7, body: vec![9; 1000] }));
            assert_eq!(next(), None);
        }
    }

    #[test]
    fn an_end_within_a_frame_and_a_body_beyond_memory_are_errors() {
        let whole = framed(1, b"hello");
        for len in 1..whole.len() {
            let error = FrameReader::default().read(&whole[..len]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        }
        let error = FrameReader::default().read(&[0xff_u8; HEADER][..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    }
}
