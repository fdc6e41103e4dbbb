//! Signals as a descriptor: a handler may do next to nothing, so it writes the signal's number
//! into a pipe that the loop watches (`signal-safety(7)`).
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use signal_hook::SigId;
use signal_hook::consts::FORBIDDEN;
use signal_hook::flag::register_conditional_default;
use signal_hook::low_level::{register, unregister};

use crate::fork::{self, Origin};

pub use signal_hook::consts::{
    SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH,
};

/// Of one signal, in the whole process: how many pipes it is written to.
struct Listeners {
    signal: i32,
    count: usize,
    /// Set while there are none, when the signal does again what it does by default: a handler
    /// that was once installed cannot be taken out safely, other libraries may have chained
    /// theirs to it.
    nobody: Arc<AtomicBool>,
}

static LISTENERS: Mutex<Vec<Listeners>> = Mutex::new(Vec::new());

fn listeners() -> MutexGuard<'static, Vec<Listeners>> {
    LISTENERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts one more listener, and takes the default action away if it is the first.
fn listen(signal: i32) {
    let mut table = listeners();
    if let Some(entry) = table.iter_mut().find(|entry| entry.signal == signal) {
        entry.count += 1;
        entry.nobody.store(false, Ordering::SeqCst);
        return;
    }
    let nobody = Arc::new(AtomicBool::new(false));
    // A signal without a name (a real-time one) has no default that could be emulated: once
    // listened to it stays without effect when nobody listens.
    let _ = register_conditional_default(signal, Arc::clone(&nobody));
    table.push(Listeners { signal, count: 1, nobody });
}

/// Counts one listener less, and brings the default action back if it was the last.
fn unlisten(signal: i32) {
    if let Some(entry) = listeners().iter_mut().find(|entry| entry.signal == signal) {
        entry.count -= 1;
        entry.nobody.store(entry.count == 0, Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct WriteEnd {
    pipe: OwnedFd,
    /// Of both ends.
    origin: Origin,
}

/// Both ends of the pipe. Signals that arrive while it is full are merged, as signals are.
#[derive(Debug)]
pub struct SignalPipe {
    read: OwnedFd,
    write: Arc<WriteEnd>,
    registered: Vec<(i32, SigId)>,
}

impl SignalPipe {
    /// An empty pipe, both ends non-blocking and closed on exec.
    ///
    /// # Errors
    /// Those of `pipe2(2)`.
    pub fn new() -> io::Result<Self> {
        let origin = Origin::here()?;
        let (read, pipe) = non_blocking_pipe()?;
        let write = Arc::new(WriteEnd { pipe, origin });
        Ok(Self { read, write, registered: Vec::new() })
    }

    /// Puts a pipe of this process's own in the place of one that a forked child has inherited;
    /// both ends keep their numbers. Of others it is not touched.
    ///
    /// # Errors
    /// Those of `pipe2(2)`.
    pub fn renew(&self) -> io::Result<()> {
        let WriteEnd { pipe, origin } = &*self.write;
        if origin.is_elsewhere() {
            let (read, write) = non_blocking_pipe()?;
            fork::replace(&self.read, &read)?;
            fork::replace(pipe, &write)?;
            origin.is_now_here();
        }
        Ok(())
    }

    /// The end to watch for readability.
    pub fn read_fd(&self) -> RawFd {
        self.read.as_raw_fd()
    }

    /// The end for a handler that is not ours to write signal numbers to, one byte each.
    pub fn write_fd(&self) -> RawFd {
        self.write.pipe.as_raw_fd()
    }

    /// Has `signal` written to the pipe until the pipe is dropped, instead of its default action,
    /// which returns with the end of the last pipe that listens.
    ///
    /// # Errors
    /// `InvalidInput` for a signal that cannot be caught or does not exist.
    pub fn register(&mut self, signal: i32) -> io::Result<()> {
        if self.registered.iter().any(|(registered, _)| *registered == signal) {
            return Ok(());
        }
        let write = Arc::clone(&self.write);
        if FORBIDDEN.contains(&signal) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let number = u8::try_from(signal).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the action is two loads and one write(2) to a non-blocking descriptor that it
        // owns: it is async-signal-safe, takes no lock and allocates nothing.
        let id = unsafe {
            register(signal, move || {
                // What a forked child receives is not its parent's.
                if !write.origin.is_elsewhere() {
                    let _ = rustix::io::write(&write.pipe, &[number]);
                }
            })
        }?;
        listen(signal);
        self.registered.push((signal, id));
        Ok(())
    }

    /// Takes the signal numbers that have arrived.
    pub fn drain(&self) -> Vec<u8> {
        let mut numbers = Vec::new();
        let mut chunk = [0; 256];
        loop {
            match rustix::io::read(&self.read, &mut chunk) {
                Ok(0) => return numbers,
                Ok(len) => numbers.extend_from_slice(&chunk[..len]),
                Err(Errno::INTR) => {}
                Err(_) => return numbers,
            }
        }
    }
}

fn non_blocking_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?)
}

impl Drop for SignalPipe {
    fn drop(&mut self) {
        for (signal, id) in self.registered.drain(..) {
            unregister(id);
            unlisten(signal);
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
        assert!(pipe.register(signal_hook::consts::SIGKILL).is_err());
    }
}
