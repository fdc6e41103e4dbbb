//! The way in from other threads: a queue, and one wake-up however many threads push.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::driver::Unparker;

/// What other threads (and wakers, which may be woken on any thread) have for the loop.
///
/// A push costs a lock that is held for one `Vec::push`. The wake-up, a system call, is made only
/// by the push that finds the loop parked; until the loop parks again nobody repeats it.
#[derive(Debug)]
pub struct Inbox<T> {
    queue: Mutex<Vec<T>>,
    /// The queue's length, to be read without the lock.
    len: AtomicUsize,
    parked: AtomicBool,
    unparker: Unparker,
}

impl<T> Inbox<T> {
    pub(crate) fn new(unparker: Unparker) -> Self {
        Self {
            queue: Mutex::new(Vec::new()),
            len: AtomicUsize::new(0),
            parked: AtomicBool::new(false),
            unparker,
        }
    }

    /// Appends `entry` and wakes the loop if it is parked. Callable from any thread.
    pub fn push(&self, entry: T) {
        let mut queue = self.lock();
        queue.push(entry);
        // SeqCst here and in `begin_park`: of a push and a park that meet, at least one sees the
        // other, so that no entry waits beside a sleeping loop.
        self.len.store(queue.len(), Ordering::SeqCst);
        drop(queue);
        self.wake();
    }

    /// Ends the loop's sleep, if it sleeps. Callable from any thread.
    pub fn wake(&self) {
        if self.parked.load(Ordering::SeqCst) && self.parked.swap(false, Ordering::SeqCst) {
            self.unparker.unpark();
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len.load(Ordering::SeqCst) == 0
    }

    /// Moves everything that waits to the end of `entries`, in the order of the pushes.
    pub fn drain_into(&self, entries: &mut Vec<T>) {
        if !self.is_empty() {
            let mut queue = self.lock();
            self.len.store(0, Ordering::SeqCst);
            entries.append(&mut queue);
        }
    }

    /// Announces a park; `false` means that something arrived and the loop must not sleep.
    pub(crate) fn begin_park(&self) -> bool {
        self.parked.store(true, Ordering::SeqCst);
        let sleeps = self.is_empty();
        if !sleeps {
            self.parked.store(false, Ordering::SeqCst);
        }
        sleeps
    }

    pub(crate) fn end_park(&self) {
        self.parked.store(false, Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        // Nothing can panic between lock and unlock, and a Vec is whole after any panic.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
