//! A pool of threads for blocking work.
//!
//! Threads are started when work finds none idle, up to a limit, and end when they have been idle
//! for a while, so an idle program holds none. Work is taken first in, first out.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A piece of blocking work.
pub type Job = Box<dyn FnOnce() + Send + 'static>;

/// How a pool is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// The most threads it may have; at least one.
    pub max_threads: usize,
    /// Threads are named this, a dash and a number.
    pub name: String,
    /// How long a thread waits for work before it ends.
    pub keep_alive: Duration,
}

impl Default for Options {
    /// As many threads as Python's `ThreadPoolExecutor` has: the number of CPUs and four, 32 at
    /// most; idle ones end after ten seconds.
    fn default() -> Self {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        Self {
            max_threads: (cpus + 4).min(32),
            name: "rondel".to_owned(),
            keep_alive: Duration::from_secs(10),
        }
    }
}

/// What a pool is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Threads that exist.
    pub threads: usize,
    /// Threads that have nothing to do.
    pub idle: usize,
    /// Jobs that wait for a thread.
    pub queued: usize,
}

/// The pool was shut down and takes no more work; here is the job back.
pub struct ShutDown(pub Job);

impl std::fmt::Debug for ShutDown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShutDown")
    }
}

/// A pool of threads. Dropping it finishes the queue without waiting for it.
#[derive(Debug)]
pub struct ThreadPool {
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    state: Mutex<State>,
    work: Condvar,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("options", &self.options).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    threads: usize,
    idle: usize,
    started: usize,
    shut_down: bool,
    /// Of every thread that has not been seen to end.
    handles: Vec<JoinHandle<()>>,
}

impl ThreadPool {
    /// A pool that has no threads yet.
    pub fn new(options: Options) -> Self {
        let options = Options { max_threads: options.max_threads.max(1), ..options };
        let shared = Shared { options, state: Mutex::default(), work: Condvar::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Queues `job`, and starts a thread for it if none is idle and there may be one more.
    ///
    /// A panic in the job ends the job, not the thread; what the job promised to send where is the
    /// job's own affair.
    ///
    /// # Errors
    /// [`ShutDown`], with the job.
    pub fn submit(&self, job: Job) -> Result<(), ShutDown> {
        let mut state = self.shared.lock();
        if state.shut_down {
            return Err(ShutDown(job));
        }
        state.queue.push_back(job);
        if state.idle >= state.queue.len() || state.threads == self.shared.options.max_threads {
            self.shared.work.notify_one();
            return Ok(());
        }
        state.started += 1;
        let name = format!("{}-{}", self.shared.options.name, state.started);
        let shared = Arc::clone(&self.shared);
        match thread::Builder::new().name(name).spawn(move || shared.work()) {
            Ok(handle) => {
                state.threads += 1;
                state.handles.retain(|handle| !handle.is_finished());
                state.handles.push(handle);
                Ok(())
            }
            // The system gives no more threads: those that there are will come to it.
            Err(_) if state.threads > 0 => Ok(()),
            Err(_) => match state.queue.pop_back() {
                Some(job) => Err(ShutDown(job)),
                None => Ok(()),
            },
        }
    }

    /// What the pool is doing now.
    pub fn stats(&self) -> Stats {
        let state = self.shared.lock();
        Stats { threads: state.threads, idle: state.idle, queued: state.queue.len() }
    }

    /// Takes no more work. What is queued is still done, unless it is taken out and returned
    /// (`cancel_queued`), and `wait` waits for all of it.
    pub fn shutdown(&self, wait: bool, cancel_queued: bool) -> VecDeque<Job> {
        let mut state = self.shared.lock();
        state.shut_down = true;
        let cancelled =
            if cancel_queued { std::mem::take(&mut state.queue) } else { VecDeque::new() };
        let handles = if wait { std::mem::take(&mut state.handles) } else { Vec::new() };
        drop(state);
        self.shared.work.notify_all();
        for handle in handles {
            // A job that shuts its own pool down cannot wait for itself.
            if handle.thread().id() != thread::current().id() {
                let _ = handle.join();
            }
        }
        cancelled
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shutdown(false, false);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Jobs run without the lock, so nothing can panic while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = self.lock();
            } else if state.shut_down {
                break;
            } else {
                state.idle += 1;
                let (woken, wait) = self
                    .work
                    .wait_timeout(state, self.options.keep_alive)
                    .unwrap_or_else(PoisonError::into_inner);
                state = woken;
                state.idle -= 1;
                if wait.timed_out() && state.queue.is_empty() {
                    break;
                }
            }
        }
        state.threads -= 1;
    }
}
