//! Signals as a descriptor: a handler may do next to nothing, so it writes the signal's number
//! into a pipe that the loop watches (`signal-safety(7)`).
#![allow(unsafe_code)]

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use signal_hook::SigId;
use signal_hook::low_level::{register, unregister};

/// Both ends of the pipe. Signals that arrive while it is full are merged, as signals are.
#[derive(Debug)]
pub struct SignalPipe {
    read: UnixStream,
    write: Arc<UnixStream>,
    registered: Vec<(i32, SigId)>,
}

impl SignalPipe {
    /// An empty pipe, both ends non-blocking and closed on exec.
    ///
    /// # Errors
    /// Those of `socketpair(2)`.
    pub fn new() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        write.set_nonblocking(true)?;
        Ok(Self { read, write: Arc::new(write), registered: Vec::new() })
    }

    /// The end to watch for readability.
    pub fn read_fd(&self) -> RawFd {
        self.read.as_raw_fd()
    }

    /// The end for a handler that is not ours to write signal numbers to, one byte each.
    pub fn write_fd(&self) -> RawFd {
        self.write.as_raw_fd()
    }

    /// Has `signal` written to the pipe from now on, instead of its default action.
    ///
    /// # Errors
    /// A signal that cannot be caught or does not exist.
    pub fn register(&mut self, signal: i32) -> io::Result<()> {
        if self.registered.iter().any(|(registered, _)| *registered == signal) {
            return Ok(());
        }
        let write = Arc::clone(&self.write);
        let number = u8::try_from(signal).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the action is one write(2) to a non-blocking descriptor that it owns: it is
        // async-signal-safe, takes no lock and allocates nothing.
        let id = unsafe {
            register(signal, move || {
                let _ = (&*write).write(&[number]);
            })
        }?;
        self.registered.push((signal, id));
        Ok(())
    }

    /// Takes the signal numbers that have arrived.
    pub fn drain(&self) -> Vec<u8> {
        let mut numbers = Vec::new();
        let mut chunk = [0; 256];
        loop {
            match (&self.read).read(&mut chunk) {
                Ok(0) => return numbers,
                Ok(len) => numbers.extend_from_slice(&chunk[..len]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return numbers,
            }
        }
    }
}

impl Drop for SignalPipe {
    fn drop(&mut self) {
        for (_, id) in self.registered.drain(..) {
            unregister(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registered_signal_arrives_as_its_number() {
        let mut pipe = SignalPipe::new().unwrap();
        pipe.register(signal_hook::consts::SIGUSR1).unwrap();
        assert!(pipe.drain().is_empty());
        signal_hook::low_level::raise(signal_hook::consts::SIGUSR1).unwrap();
        let expected = u8::try_from(signal_hook::consts::SIGUSR1).unwrap();
        assert_eq!(pipe.drain(), [expected]);
    }

    #[test]
    fn a_signal_that_cannot_be_caught_is_an_error() {
        let mut pipe = SignalPipe::new().unwrap();
        assert!(pipe.register(100_000).is_err());
    }
}
