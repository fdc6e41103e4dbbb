//! A pool of threads for blocking work.
//!
//! Threads are started when work finds none idle, up to a limit, and end when they have been idle
//! for a while, so an idle program holds none. Work is taken first in, first out.

pub mod queue;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use queue::{JobQueue, Pushed, Rested};

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
    queue: JobQueue<Job>,
    threads: Mutex<Threads>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("options", &self.options).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Threads {
    started: usize,
    /// Of every thread that has not been seen to end.
    handles: Vec<JoinHandle<()>>,
}

impl ThreadPool {
    /// A pool that has no threads yet.
    pub fn new(options: Options) -> Self {
        let options = Options { max_threads: options.max_threads.max(1), ..options };
        let queue = JobQueue::new(options.max_threads, Duration::ZERO);
        Self { shared: Arc::new(Shared { options, queue, threads: Mutex::default() }) }
    }

    /// Queues `job`, and starts a thread for it if none is idle and there may be one more.
    ///
    /// A panic in the job ends the job, not the thread; what the job promised to send where is the
    /// job's own affair.
    ///
    /// # Errors
    /// [`ShutDown`], with the job.
    pub fn submit(&self, job: Job) -> Result<(), ShutDown> {
        let job = match self.shared.queue.push(job, false) {
            Pushed::Queued | Pushed::QueuedForNewThread => return Ok(()),
            Pushed::Closed(job) => return Err(ShutDown(job)),
            Pushed::WantsThread(job) => job,
        };
        // The lock is held from the push to the start, so that a shutdown waits for the thread.
        let mut threads = self.shared.lock();
        match self.shared.queue.push(job, true) {
            Pushed::Queued => return Ok(()),
            Pushed::QueuedForNewThread => {}
            Pushed::Closed(job) | Pushed::WantsThread(job) => return Err(ShutDown(job)),
        }
        threads.started += 1;
        let name = format!("{}-{}", self.shared.options.name, threads.started);
        let shared = Arc::clone(&self.shared);
        if let Ok(handle) = thread::Builder::new().name(name).spawn(move || shared.work()) {
            threads.handles.retain(|handle| !handle.is_finished());
            threads.handles.push(handle);
            return Ok(());
        }
        drop(threads);
        // The system gives no more threads: those that there are will come to it.
        match self.shared.queue.thread_failed().pop_back() {
            Some(job) => Err(ShutDown(job)),
            None => Ok(()),
        }
    }

    /// What the pool is doing now.
    pub fn stats(&self) -> Stats {
        let stats = self.shared.queue.stats();
        Stats { threads: stats.threads, idle: stats.idle, queued: stats.queued }
    }

    /// Takes no more work. What is queued is still done, unless it is taken out and returned
    /// (`cancel_queued`), and `wait` waits for all of it.
    pub fn shutdown(&self, wait: bool, cancel_queued: bool) -> VecDeque<Job> {
        let mut threads = self.shared.lock();
        let queue = &self.shared.queue;
        queue.close();
        let cancelled = if cancel_queued { queue.drain() } else { VecDeque::new() };
        let handles = if wait { std::mem::take(&mut threads.handles) } else { Vec::new() };
        drop(threads);
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
    fn lock(&self) -> MutexGuard<'_, Threads> {
        // Jobs run without the lock, so nothing can panic while it is held.
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        loop {
            let job = match self.queue.take_or_rest() {
                Some(job) => job,
                None => match self.queue.rest(Some(self.options.keep_alive)) {
                    Rested::Job(job) => job,
                    Rested::Leave => return,
                },
            };
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }
}
