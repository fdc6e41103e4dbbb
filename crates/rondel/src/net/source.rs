//! A descriptor that tasks wait for.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rondel_engine::Direction;

use crate::current::Current;

/// What the loops know of a descriptor. Nothing before somebody has to wait; then the loop in
/// which that is. It must be dropped before the descriptor is closed.
///
/// One task at a time can wait in each direction: a later one takes the place of an earlier.
#[derive(Debug)]
pub(crate) struct Watch {
    fd: RawFd,
    current: RefCell<Option<Rc<Current>>>,
}

impl Watch {
    pub(crate) fn new(fd: RawFd) -> Self {
        Self { fd, current: RefCell::default() }
    }

    /// Has the task woken when the descriptor is ready.
    pub(crate) fn wait(&self, direction: Direction, cx: &Context<'_>) -> io::Result<()> {
        let running = Current::running();
        let known = self.current.borrow().as_ref().is_some_and(|known| Rc::ptr_eq(known, &running));
        if !known {
            // The loop that knew it is over or, in a Runner, at rest.
            self.forget();
            self.current.replace(Some(Rc::clone(&running)));
        }
        running.watch(self.fd, direction, cx.waker())
    }

    fn forget(&self) {
        let current = self.current.take();
        if let Some(current) = current {
            current.unwatch(self.fd);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.forget();
    }
}

/// A non-blocking descriptor and its watch.
#[derive(Debug)]
pub(crate) struct Source<T> {
    watch: Watch, // before the descriptor, as fields are dropped in order
    io: T,
}

impl<T: AsRawFd> Source<T> {
    pub(crate) fn new(io: T) -> Self {
        Self { watch: Watch::new(io.as_raw_fd()), io }
    }

    pub(crate) fn get(&self) -> &T {
        &self.io
    }

    /// The descriptor, which no loop knows any more.
    pub(crate) fn into_inner(self) -> T {
        drop(self.watch);
        self.io
    }

    /// Tries `operation`, and waits when it would block.
    pub(crate) fn poll_io<R>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        ready!(Current::poll_budget(cx));
        loop {
            match operation(&self.io) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.watch.wait(direction, cx)?;
                    return Poll::Pending;
                }
                done => return Poll::Ready(done),
            }
        }
    }
}
