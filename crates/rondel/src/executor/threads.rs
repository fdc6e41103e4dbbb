//! Blocking work, off the loop: calls that run in threads and are awaited on the loop.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rondel_engine::offload::{Options, ThreadPool};

use super::submitted::{Submitted, completing};
use crate::JoinError;
use crate::current::Current;

/// Runs `f` in a thread of the loop's own pool and gives what it returns, as `asyncio.to_thread`.
///
/// The pool starts threads as they are needed, up to the number of CPUs and four, 32 at most.
/// Dropped before a thread has taken it up, the call is not made; a call that has begun cannot be
/// stopped, only left alone, and the end of [`run`](crate::run) waits for it.
///
/// ```
/// # rondel::run(async {
/// let text = rondel::to_thread(|| std::fs::read_to_string("Cargo.toml")).await?;
/// assert!(text.contains("[package]"));
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
///
/// # Panics
/// With the panic of `f`. If the system gives not even one thread. With "no running event loop"
/// outside one.
pub async fn to_thread<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let call = submit_to(Current::running().default_executor(), f);
    match call.await {
        Ok(value) => value,
        Err(JoinError::Cancelled) => panic!("can't start new thread"),
        Err(panicked) => panicked.resume(),
    }
}

/// A pool of threads for calls that block, as `concurrent.futures.ThreadPoolExecutor`.
///
/// ```
/// use rondel::ThreadPoolExecutor;
///
/// # rondel::run(async {
/// let pool = ThreadPoolExecutor::builder().max_workers(2).thread_name_prefix("reader").build();
/// let lengths = pool.map(|text: &str| text.len(), ["one", "two", "three"]).await?;
/// assert_eq!(lengths, [3, 3, 5]);
/// # Ok::<(), rondel::JoinError>(())
/// # }).unwrap();
/// ```
///
/// Dropping the executor lets its threads finish what was submitted, without waiting for it.
#[derive(Debug)]
pub struct ThreadPoolExecutor {
    pool: ThreadPool,
}

/// How a [`ThreadPoolExecutor`] is to be.
#[derive(Clone, Debug, Default)]
pub struct ThreadPoolExecutorBuilder {
    options: Options,
}

impl ThreadPoolExecutorBuilder {
    /// The most threads that it may have; at least one. By default the number of CPUs and four,
    /// 32 at most.
    #[must_use]
    pub fn max_workers(mut self, max_workers: usize) -> Self {
        self.options.max_threads = max_workers;
        self
    }

    /// What the names of its threads begin with; a dash and a number follow.
    #[must_use]
    pub fn thread_name_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.options.name = prefix.into();
        self
    }

    /// The executor, which has no threads yet.
    pub fn build(self) -> ThreadPoolExecutor {
        ThreadPoolExecutor { pool: ThreadPool::new(self.options) }
    }
}

impl Default for ThreadPoolExecutor {
    fn default() -> Self {
        Self::new()
    }
}

impl ThreadPoolExecutor {
    /// An executor with the default number of threads.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// For an executor with options.
    pub fn builder() -> ThreadPoolExecutorBuilder {
        ThreadPoolExecutorBuilder::default()
    }

    /// Has `f` called in a thread. The call is queued now, whether or not it is awaited.
    ///
    /// Once the executor is shut down the call is not made: awaiting it gives
    /// [`JoinError::Cancelled`].
    pub fn submit<F, T>(&self, f: F) -> Submitted<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        submit_to(&self.pool, f)
    }

    /// Calls `f` with each of `items` and gives the results in the same order. All calls are
    /// queued now; if one panics or is cancelled, that is the result, and those that have not
    /// begun are not made.
    ///
    /// # Errors
    /// The first [`JoinError`], in the order of the items.
    pub fn map<F, I, T>(
        &self,
        f: F,
        items: I,
    ) -> impl Future<Output = Result<Vec<T>, JoinError>> + use<F, I, T>
    where
        F: Fn(I::Item) -> T + Send + Sync + 'static,
        I: IntoIterator,
        I::Item: Send + 'static,
        T: Send + 'static,
    {
        let f = Arc::new(f);
        let mut calls = Calls(Vec::new());
        for item in items {
            let f = Arc::clone(&f);
            calls.0.push(self.submit(move || f(item)));
        }
        async move {
            let mut results = Vec::with_capacity(calls.0.len());
            for call in &mut calls.0 {
                results.push(call.await?);
            }
            Ok(results)
        }
    }

    /// Takes no more calls. Those that are queued are still made, unless `cancel_futures` says
    /// otherwise; `wait` blocks the thread until all are done, as in Python.
    pub fn shutdown(&self, wait: bool, cancel_futures: bool) {
        drop(self.pool.shutdown(false, cancel_futures));
        if wait {
            self.pool.shutdown(true, false);
        }
    }
}

/// The calls of one `map`: what has not begun when this is dropped is not made.
struct Calls<T>(Vec<Submitted<T>>);

impl<T> Drop for Calls<T> {
    fn drop(&mut self) {
        for call in &self.0 {
            call.cancel();
        }
    }
}

/// Queues `f` in `pool`.
pub(crate) fn submit_to<F, T>(pool: &ThreadPool, f: F) -> Submitted<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let (completion, submitted) = completing();
    let job = move || {
        if completion.begin() {
            completion.end(catch_unwind(AssertUnwindSafe(f)).map_err(JoinError::Panicked));
        }
    };
    // A job that is refused is dropped here, and says so itself.
    drop(pool.submit(Box::new(job)));
    submitted
}
