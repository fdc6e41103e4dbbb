//! The queue between those who have blocking work and the threads that do it.
//!
//! It starts no thread: whoever pushes is told when one is wanted, and threads come to the queue
//! of their own accord. So it serves threads of every kind, Rust's and those that Python must know
//! of.

use std::collections::VecDeque;
use std::hint;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::clock::{Clock, Instant};

/// Jobs, first in, first out, and the threads that rest until there are some.
///
/// A push wakes at most one thread, and none while one that was woken is still on its way; a
/// thread that takes a job and leaves others behind wakes the next. However many jobs come at
/// once, the pusher makes one system call.
#[derive(Debug)]
pub struct JobQueue<J> {
    max_threads: usize,
    spin: Duration,
    state: Mutex<State<J>>,
    work: Condvar,
    /// How many jobs wait, to be read without the lock; the greatest number once it is closed, so
    /// that whoever polls sees that something has changed.
    signal: AtomicUsize,
    abandoned: AtomicBool,
}

#[derive(Debug)]
struct State<J> {
    jobs: VecDeque<(Instant, J)>,
    threads: usize,
    /// Threads that rest.
    idle: usize,
    /// A resting thread was woken and has not come yet.
    woken: bool,
    /// A resting thread polls, and need not be woken.
    polling: bool,
    closed: bool,
    taken: u64,
    waited: Duration,
}

/// What became of a push.
#[derive(Debug)]
pub enum Pushed<J> {
    /// A thread will come to the job.
    Queued,
    /// As queued; and one more thread has been counted, which the caller is to start.
    QueuedForNewThread,
    /// One more thread is wanted, and the caller has not offered to start one.
    WantsThread(J),
    /// The queue is closed.
    Closed(J),
}

/// What a resting thread is given.
#[derive(Debug)]
pub enum Rested<J> {
    /// A job.
    Job(J),
    /// Nothing came for as long as the thread was to wait, or nothing will come any more: it is to
    /// end, and is no longer counted.
    Leave,
}

/// What a queue and its threads are doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Threads that serve the queue.
    pub threads: usize,
    /// Those of them that rest.
    pub idle: usize,
    /// Jobs that wait.
    pub queued: usize,
    /// Jobs that were taken up so far.
    pub taken: u64,
    /// How long all of those had waited, together.
    pub waited: Duration,
    /// How long the oldest job has waited that still does.
    pub oldest: Duration,
}

/// Asks again and again, for `limit` at most, whether something is so. Whoever else could run on
/// this core does so in between.
pub fn poll_until(limit: Duration, is_so: impl Fn() -> bool) {
    let end = Clock::Monotonic.now() + limit;
    while !is_so() && Clock::Monotonic.now() < end {
        for _ in 0..LOOKS_BETWEEN_YIELDS {
            if is_so() {
                return;
            }
            hint::spin_loop();
        }
        thread::yield_now();
    }
}

/// How often to look before others on this core may run: to let them costs as much as some looks.
const LOOKS_BETWEEN_YIELDS: usize = 16;

impl<J> JobQueue<J> {
    /// An open queue, for at most `max_threads` threads, at least one. A resting thread polls for
    /// `spin` before it sleeps.
    pub fn new(max_threads: usize, spin: Duration) -> Self {
        Self {
            max_threads: max_threads.max(1),
            spin,
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                threads: 0,
                idle: 0,
                woken: false,
                polling: false,
                closed: false,
                taken: 0,
                waited: Duration::ZERO,
            }),
            work: Condvar::new(),
            signal: AtomicUsize::new(0),
            abandoned: AtomicBool::new(false),
        }
    }

    /// Appends `job`. If no thread rests that could take it and there may be one more, `starts`
    /// says whether the caller will start it.
    pub fn push(&self, job: J, starts: bool) -> Pushed<J> {
        let mut state = self.lock();
        if state.closed {
            return Pushed::Closed(job);
        }
        let wanted = state.jobs.len() >= state.idle && state.threads < self.max_threads;
        if wanted && !starts {
            return Pushed::WantsThread(job);
        }
        state.jobs.push_back((Clock::Monotonic.now(), job));
        self.signal.store(state.jobs.len(), Ordering::Release);
        if wanted {
            state.threads += 1;
            return Pushed::QueuedForNewThread;
        }
        self.wake_one(state);
        Pushed::Queued
    }

    /// Takes back that a thread was counted, which could not be started. If there is no other, so
    /// is what waits.
    pub fn thread_failed(&self) -> VecDeque<J> {
        let mut state = self.lock();
        state.threads -= 1;
        if state.threads == 0 { self.take_all(&mut state) } else { VecDeque::new() }
    }

    /// For a thread of the queue that has nothing to do: a job, or `None`, and from now on it
    /// counts as resting and must call [`rest`](Self::rest).
    pub fn take_or_rest(&self) -> Option<J> {
        if self.abandoned.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.lock();
        let job = self.pop(&mut state);
        if job.is_none() {
            state.idle += 1;
        } else {
            self.wake_one(state);
        }
        job
    }

    /// Rests until there is a job, for `keep_alive` at most.
    pub fn rest(&self, keep_alive: Option<Duration>) -> Rested<J> {
        if self.abandoned.load(Ordering::Acquire) {
            return Rested::Leave;
        }
        let mut state = self.lock();
        if !self.spin.is_zero() && !state.polling {
            state.polling = true;
            drop(state);
            self.poll();
            state = self.lock();
            state.polling = false;
        }
        loop {
            state.woken = false;
            if let Some(job) = self.pop(&mut state) {
                state.idle -= 1;
                self.wake_one(state);
                return Rested::Job(job);
            }
            if state.closed {
                state.idle -= 1;
                state.threads -= 1;
                return Rested::Leave;
            }
            let Some(keep_alive) = keep_alive else {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let (woken, wait) =
                self.work.wait_timeout(state, keep_alive).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if wait.timed_out() && state.jobs.is_empty() && !state.closed {
                state.woken = false;
                state.idle -= 1;
                state.threads -= 1;
                return Rested::Leave;
            }
        }
    }

    /// Says that a thread ends which does not rest.
    pub fn leave(&self) {
        if !self.abandoned.load(Ordering::Acquire) {
            self.lock().threads -= 1;
        }
    }

    /// Takes no more jobs, and ends the threads when those that wait are done.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.signal.store(usize::MAX, Ordering::Release);
        drop(state);
        self.work.notify_all();
    }

    /// Takes out what waits.
    pub fn drain(&self) -> VecDeque<J> {
        self.take_all(&mut self.lock())
    }

    /// Has threads leave without another look at the queue: after a fork, in the child, its lock
    /// may be held by a thread that is not there any more.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
    }

    /// What the queue and its threads are doing now.
    pub fn stats(&self) -> QueueStats {
        let state = self.lock();
        let now = Clock::Monotonic.now();
        QueueStats {
            threads: state.threads,
            idle: state.idle,
            queued: state.jobs.len(),
            taken: state.taken,
            waited: state.waited,
            oldest: state
                .jobs
                .front()
                .map_or(Duration::ZERO, |(since, _)| now.saturating_duration_since(*since)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        // Nothing can panic between lock and unlock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pop(&self, state: &mut State<J>) -> Option<J> {
        let (since, job) = state.jobs.pop_front()?;
        if !state.closed {
            self.signal.store(state.jobs.len(), Ordering::Release);
        }
        state.taken += 1;
        state.waited += Clock::Monotonic.now().saturating_duration_since(since);
        Some(job)
    }

    fn take_all(&self, state: &mut State<J>) -> VecDeque<J> {
        if !state.closed {
            self.signal.store(0, Ordering::Release);
        }
        std::mem::take(&mut state.jobs).into_iter().map(|(_, job)| job).collect()
    }

    /// Wakes a resting thread, if a job waits for one and none is on its way.
    fn wake_one(&self, mut state: MutexGuard<'_, State<J>>) {
        if !state.jobs.is_empty() && state.idle > 0 && !state.woken && !state.polling {
            state.woken = true;
            drop(state);
            self.work.notify_one();
        }
    }

    /// Looks out for a job for as long as a thread may, without the lock.
    fn poll(&self) {
        poll_until(self.spin, || self.signal.load(Ordering::Acquire) != 0);
    }
}
