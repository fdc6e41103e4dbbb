//! What a worker process does: it takes calls from its parent, one after the other, and ends when
//! the parent is done with it, or gone.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, getpid, getppid, kill_process, pidfd_open};
use rustix::stdio::dup2_stdin;

use super::framing::{Frame, FrameReader};

/// The tag of the frame by which a parent sends its worker home.
pub const END: u64 = u64::MAX;

/// The worker's end of the connection to its parent.
#[derive(Debug)]
pub struct Channel(UnixStream);

impl Channel {
    /// Takes the connection from the standard input, which is empty from then on, and has this
    /// process killed when the connection breaks or the process `parent` ends, whatever it may be
    /// doing then: nobody would get the result.
    ///
    /// # Errors
    /// When the standard input cannot be duplicated, or a thread cannot be started.
    pub fn from_stdin(parent: u32) -> io::Result<Self> {
        let channel = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        dup2_stdin(File::open("/dev/null")?)?;
        let parent = watch(parent);
        let watched = channel.try_clone()?;
        thread::Builder::new().name("rondel-parent".to_owned()).spawn(move || {
            wait_for_end(&watched, parent.as_ref());
            let _ = kill_process(getpid(), Signal::KILL);
        })?;
        Ok(Self(channel))
    }

    /// Makes the calls that come, with `call`, which returns a whole frame as the answer, until
    /// the parent says that this was all.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn serve(&self, mut call: impl FnMut(&Frame) -> Vec<u8>) -> io::Result<()> {
        let mut reader = FrameReader::default();
        while let Some(frame) = reader.read(&self.0)? {
            if frame.tag == END {
                return Ok(());
            }
            (&self.0).write_all(&call(&frame))?;
        }
        Err(ErrorKind::UnexpectedEof.into())
    }
}

/// The parent's pidfd; `None` where there is none to be had, and the connection alone must tell.
fn watch(parent: u32) -> Option<OwnedFd> {
    let parent = Pid::from_raw(parent.cast_signed())?;
    let pidfd = pidfd_open(parent, PidfdFlags::empty()).ok();
    if getppid() != Some(parent) {
        // It was gone before it could be watched, and the number may be a stranger's by now.
        let _ = kill_process(getpid(), Signal::KILL);
    }
    pidfd
}

fn wait_for_end(channel: &UnixStream, parent: Option<&OwnedFd>) {
    let mut watched = vec![PollFd::new(channel, PollFlags::RDHUP)];
    watched.extend(parent.map(|parent| PollFd::new(parent, PollFlags::IN)));
    while poll(&mut watched, None) == Err(Errno::INTR) {}
}
