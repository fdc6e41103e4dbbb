//! What is sent, and so what must come back.

use std::rc::Rc;
use std::str::FromStr;

use crate::Failure;

/// How a server finds the end of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// It does not, and sends back what it gets.
    None,
    /// A line feed is its last byte.
    Line,
    /// Its first four bytes are the length of the rest, in network order.
    Length,
}

impl FromStr for Framing {
    type Err = Failure;

    fn from_str(name: &str) -> Result<Self, Failure> {
        match name {
            "none" => Ok(Self::None),
            "line" => Ok(Self::Line),
            "length" => Ok(Self::Length),
            _ => Err("none, line or length".into()),
        }
    }
}

/// As many messages without framing begin at different bytes of the pattern.
const SHIFTS: usize = 251;

/// The messages of one connection, one after the other.
///
/// Without framing each differs from the one before and from those of other connections, so that a
/// stale or a misdirected answer is seen; all are windows on one pattern, which stays in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Messages {
    pattern: Rc<[u8]>,
    size: usize,
    shifts: usize,
    shift: usize,
}

impl Messages {
    /// Messages of `size` bytes, framing included. [`Messages::of`] gives each connection its own.
    pub(crate) fn new(size: usize, framing: Framing) -> Result<Self, Failure> {
        let shifts = if framing == Framing::None { SHIFTS } else { 1 };
        // A xorshift generator: no two windows are alike, and no byte is a line feed.
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut pattern: Vec<u8> = (0..size + shifts - 1)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                b' ' + (state % 95) as u8
            })
            .collect();
        match framing {
            Framing::None => {}
            Framing::Line => *pattern.last_mut().ok_or("a line has a byte at least")? = b'\n',
            Framing::Length => {
                let rest = size.checked_sub(4).ok_or("a length takes four bytes")?;
                pattern[..4].copy_from_slice(&u32::try_from(rest)?.to_be_bytes());
            }
        }
        Ok(Self { pattern: pattern.into(), size, shifts, shift: 0 })
    }

    /// The messages of the connection of that number.
    pub(crate) fn of(&self, connection: usize) -> Self {
        Self { shift: connection % self.shifts, ..self.clone() }
    }

    /// The message whose turn it is.
    pub(crate) fn current(&self) -> &[u8] {
        &self.pattern[self.shift..self.shift + self.size]
    }

    pub(crate) fn advance(&mut self) {
        self.shift = (self.shift + 1) % self.shifts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_one_connection_and_of_neighbours_differ() {
        let mut one = Messages::new(64, Framing::None).unwrap().of(3);
        let before = one.current().to_vec();
        one.advance();
        assert_ne!(before, one.current());
        assert_ne!(before, Messages::new(64, Framing::None).unwrap().of(5).current());
    }

    #[test]
    fn a_line_has_one_line_feed_at_its_end() {
        let line = Messages::new(64, Framing::Line).unwrap();
        assert_eq!(line.current().iter().position(|byte| *byte == b'\n'), Some(63));
    }

    #[test]
    fn a_length_counts_the_bytes_after_it() {
        let message = Messages::new(1024, Framing::Length).unwrap();
        assert_eq!(message.current().len(), 1024);
        assert_eq!(message.current()[..4], 1020_u32.to_be_bytes());
    }
}
