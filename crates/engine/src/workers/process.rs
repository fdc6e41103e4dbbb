//! A worker process as its parent sees it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::process::{Child, ExitStatus};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// A child process with a descriptor that becomes readable when it ends. Dropping it kills it:
/// nothing is left behind, neither a process nor a zombie.
#[derive(Debug)]
pub struct WorkerProcess {
    child: Child,
    pidfd: OwnedFd,
    reaped: bool,
}

impl WorkerProcess {
    /// Watches `child`, for which nobody else may wait.
    ///
    /// # Errors
    /// Those of `pidfd_open(2)`: out of descriptors, or denied by a sandbox. The child has been
    /// killed then.
    pub fn new(mut child: Child) -> io::Result<Self> {
        match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self { child, pidfd, reaped: false }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error.into())
            }
        }
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The descriptor to watch for readability.
    pub fn pidfd(&self) -> RawFd {
        self.pidfd.as_raw_fd()
    }

    /// Kills it, if it has not ended: SIGKILL, which it cannot catch. It has ended when its pidfd
    /// says so.
    pub fn kill(&self) {
        if !self.reaped {
            // Not reaped, so the number is still this child's. It may have ended by itself.
            let _ = kill_process(Pid::from_child(&self.child), Signal::KILL);
        }
    }

    /// How it ended, once it has: `None` while it runs.
    ///
    /// # Errors
    /// When somebody else has waited for it, so that nobody knows (ECHILD).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.child.try_wait();
        self.reaped |= match &status {
            Ok(status) => status.is_some(),
            Err(error) => error.raw_os_error() == Some(Errno::CHILD.raw_os_error()),
        };
        status
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill();
            let _ = self.child.wait();
        }
    }
}
