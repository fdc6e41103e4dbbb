//! What a forked child has inherited: descriptors that are its parent's, too.
//!
//! The kernel's epoll instances, eventfds and pipes are shared by a parent and its forked child. What
//! the child changes there is changed for the parent, so a child that uses an inherited loop first
//! puts descriptors of its own in the place of the shared ones. It learns of the fork from the C
//! library (`pthread_atfork(3)`), whoever it was that forked; a `vfork` of somebody who goes on to
//! start another program is not counted.
#![allow(unsafe_code)]

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io::{DupFlags, dup3};

/// How many forks lie between this process and the first of its line.
static FORKS: AtomicU32 = AtomicU32::new(0);

extern "C" fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// In which process of a line of forks something was made.
#[derive(Debug)]
pub(crate) struct Origin(AtomicU32);

impl Origin {
    /// This process.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub(crate) fn here() -> io::Result<Self> {
        static REGISTERED: Once = Once::new();
        let mut failed = 0;
        REGISTERED.call_once(|| {
            // SAFETY: the handler adds to an atomic integer and does nothing else, as the child of a
            // process with threads must; it is a function of this library, whose unloading takes
            // the registration back.
            failed = unsafe { libc::pthread_atfork(None, None, Some(forked)) };
        });
        if failed != 0 {
            return Err(io::Error::from_raw_os_error(failed));
        }
        Ok(Self(AtomicU32::new(FORKS.load(Ordering::Relaxed))))
    }

    /// Whether it was made by a parent, or one of its parents, and not renewed here.
    #[inline]
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.0.load(Ordering::Relaxed) != FORKS.load(Ordering::Relaxed)
    }

    /// From now on it is this process's own.
    pub(crate) fn is_now_here(&self) {
        self.0.store(FORKS.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// Puts `new` in the place of `old`, which keeps its number: whoever knows that has the new one.
///
/// # Errors
/// Those of `dup3(2)`.
pub(crate) fn replace(old: &impl AsFd, new: &impl AsFd) -> io::Result<()> {
    // SAFETY: the number is open, as it is borrowed, and stays so: dup3 puts another file behind it
    // in one step, and the second owner that is made up here is forgotten, not dropped.
    let mut old = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(old.as_fd().as_raw_fd()) });
    dup3(new, &mut old, DupFlags::CLOEXEC).map_err(io::Error::from)
}
