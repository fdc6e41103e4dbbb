//! The way in from other threads: a queue, and one wake-up however many threads push.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::driver::Unparker;

/// What other threads (and wakers, which may be woken on any thread) have for the loop.
///
/// A push costs a lock that is held for one `Vec::push`. The wake-up, a system call, is made only
/// by the push that finds the loop parked; until the loop parks again nobody repeats it, and a loop
/// that spins before it parks needs none.
#[derive(Debug)]
pub struct Inbox<T> {
    queue: Mutex<Vec<T>>,
    /// The queue's length, to be read without the lock.
    len: AtomicUsize,
    bell: Arc<Bell>,
}

impl<T> Inbox<T> {
    pub(crate) fn new(unparker: Unparker) -> Self {
        Self {
            queue: Mutex::new(Vec::new()),
            len: AtomicUsize::new(0),
            bell: Arc::new(Bell { state: AtomicU8::new(AWAKE), unparker }),
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
    #[inline]
    pub fn wake(&self) {
        self.bell.ring();
    }

    /// Whether the loop runs: it neither sleeps nor spins, nor is about to.
    #[inline]
    pub fn is_awake(&self) -> bool {
        self.bell.has_rung()
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

    /// Announces a park, or a spin before it; `false` means that something arrived and the loop
    /// must not sleep.
    pub(crate) fn begin_park(&self, spins: bool) -> bool {
        self.bell.state.store(if spins { SPINNING } else { PARKED }, Ordering::SeqCst);
        let sleeps = self.is_empty();
        if !sleeps {
            self.end_park();
        }
        sleeps
    }

    pub(crate) fn end_park(&self) {
        self.bell.state.store(AWAKE, Ordering::SeqCst);
    }

    /// What tells the thread that spins.
    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        // Nothing can panic between lock and unlock, and a Vec is whole after any panic.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The loop runs, and looks into the inbox before it sleeps.
const AWAKE: u8 = 0;
/// The loop looks again and again: it sees at once that somebody rang.
const SPINNING: u8 = 1;
/// The loop sleeps in the driver: it takes a system call to wake it.
const PARKED: u8 = 2;

/// Whether the loop sleeps, and what ends that.
#[derive(Debug)]
pub(crate) struct Bell {
    state: AtomicU8,
    unparker: Unparker,
}

impl Bell {
    /// Wakes the loop, unless it is awake or somebody has done so.
    #[inline]
    fn ring(&self) {
        if self.state.load(Ordering::SeqCst) != AWAKE
            && self.state.swap(AWAKE, Ordering::SeqCst) == PARKED
        {
            self.unparker.unpark();
        }
    }

    /// Whether somebody rang since the spin was announced.
    #[inline]
    pub(crate) fn has_rung(&self) -> bool {
        self.state.load(Ordering::SeqCst) == AWAKE
    }

    /// From spinning to parked; `false` if somebody rang.
    pub(crate) fn stop_spinning(&self) -> bool {
        self.state.compare_exchange(SPINNING, PARKED, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}
