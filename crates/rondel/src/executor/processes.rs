//! A pool of worker processes, driven by the loop itself.

use std::any::type_name;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use std::thread;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::process_call::{Call, ProcessCall};
use super::process_error::ProcessError;
use super::registry::request;
use super::supervision::{Request, work};
use crate::create_task;
use crate::current::Current;

/// A pool of processes for CPU-bound calls, as `concurrent.futures.ProcessPoolExecutor`.
///
/// A worker process is this program, started again (`/proc/self/exe`): `main` begins with
/// [`Worker::serve`](crate::Worker::serve), which names the functions that can be called there.
/// Arguments and results travel by serde, for which a `Vec<u8>` is one byte after the other; the
/// `ByteBuf` of the crate `serde_bytes` travels as a whole, many times as fast.
///
/// ```standalone_crate
/// use rondel::{ProcessPoolExecutor, Worker};
///
/// fn largest_prime_factor(mut number: u64) -> u64 {
///     let mut factor = 2;
///     while factor * factor <= number {
///         if number % factor == 0 { number /= factor } else { factor += 1 }
///     }
///     number
/// }
///
/// fn main() -> Result<(), rondel::ProcessError> {
///     Worker::new().register(largest_prime_factor).serve();
///     rondel::run(async {
///         let pool = ProcessPoolExecutor::new();
///         let factors = pool.map(largest_prime_factor, [15, 77, 13_195]).await?;
///         assert_eq!(factors, [5, 11, 29]);
///         pool.shutdown(false).await;
///         Ok(())
///     })
/// }
/// ```
///
/// A worker that dies, by whatever signal or exit code, fails the call that it was making, with
/// [`ProcessError::WorkerDied`], and no other; another takes its place. A panic fails its call
/// and nothing else.
///
/// Workers are started when calls find none idle, up to a limit. They are the running loop's,
/// like tasks: at the end of [`run`](crate::run) those that are left are killed, and no process
/// outlives it. If the program itself is killed its workers are, too. Dropping the executor lets
/// them finish what was submitted, as long as the loop runs.
#[derive(Debug)]
pub struct ProcessPoolExecutor {
    pool: Rc<Pool>,
}

/// How a [`ProcessPoolExecutor`] is to be.
#[derive(Clone, Debug, Default)]
pub struct ProcessPoolExecutorBuilder {
    max_workers: Option<usize>,
    max_tasks_per_child: Option<usize>,
    kill_on_cancel: bool,
}

impl ProcessPoolExecutorBuilder {
    /// The most processes that it may have; at least one. By default the number of CPUs.
    #[must_use]
    pub fn max_workers(mut self, max_workers: usize) -> Self {
        self.max_workers = Some(max_workers.max(1));
        self
    }

    /// After how many calls a process is replaced by a fresh one; at least one. By default never.
    #[must_use]
    pub fn max_tasks_per_child(mut self, calls: usize) -> Self {
        self.max_tasks_per_child = Some(calls.max(1));
        self
    }

    /// Whether cancelling a call that is being made kills its worker, and another takes its place.
    /// By default such a call cannot be cancelled, as with threads; what nobody awaits any more
    /// runs to its end.
    #[must_use]
    pub fn kill_on_cancel(mut self, kill: bool) -> Self {
        self.kill_on_cancel = kill;
        self
    }

    /// The executor, which has no processes yet.
    pub fn build(self) -> ProcessPoolExecutor {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        ProcessPoolExecutor {
            pool: Rc::new(Pool {
                max_workers: self.max_workers.unwrap_or(cpus),
                max_tasks_per_child: self.max_tasks_per_child,
                kill_on_cancel: self.kill_on_cancel,
                state: RefCell::default(),
            }),
        }
    }
}

impl Default for ProcessPoolExecutor {
    fn default() -> Self {
        Self::new()
    }
}

impl ProcessPoolExecutor {
    /// An executor with as many workers as there are CPUs.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// For an executor with options.
    pub fn builder() -> ProcessPoolExecutorBuilder {
        ProcessPoolExecutorBuilder::default()
    }

    /// Has `function` called with `argument` in a worker process. The argument is written down and
    /// the call queued now, whether or not it is awaited.
    ///
    /// What goes wrong is told where it is awaited; once the executor is shut down, that the call
    /// is [cancelled](ProcessError::Cancelled).
    ///
    /// # Panics
    /// With "no running event loop" outside one; if workers of another loop serve this executor.
    #[track_caller]
    pub fn submit<F, A, R>(&self, function: F, argument: A) -> ProcessCall<R>
    where
        F: Fn(A) -> R + Copy + 'static,
        A: Serialize,
        R: DeserializeOwned,
    {
        self.pool.move_in();
        let _ = function; // its type says it all
        ProcessCall::new(self.pool.submit(type_name::<F>(), request::<F, A>(&argument)))
    }

    /// Calls `function` with each of `items` and gives the results in the same order. All calls
    /// are queued now; if one fails, that is the result, and the others are
    /// [cancelled](ProcessCall::cancel).
    ///
    /// # Errors
    /// The first [`ProcessError`], in the order of the items.
    ///
    /// # Panics
    /// As [`submit`](Self::submit).
    #[track_caller]
    pub fn map<F, I, R>(
        &self,
        function: F,
        items: I,
    ) -> impl Future<Output = Result<Vec<R>, ProcessError>> + use<F, I, R>
    where
        F: Fn(I::Item) -> R + Copy + 'static,
        I: IntoIterator,
        I::Item: Serialize,
        R: DeserializeOwned,
    {
        let mut calls = Calls(Vec::new());
        for item in items {
            calls.0.push(self.submit(function, item));
        }
        async move {
            let mut results = Vec::with_capacity(calls.0.len());
            for call in &mut calls.0 {
                results.push(call.await?);
            }
            Ok(results)
        }
    }

    /// Takes no more calls, from now on. Those that are queued are still made, unless
    /// `cancel_futures` says otherwise (it cancels those that are being made, too, if the executor
    /// kills on cancel). Awaiting what this returns waits until the last process has ended.
    pub fn shutdown(&self, cancel_futures: bool) -> impl Future<Output = ()> + use<> {
        self.pool.close();
        if cancel_futures {
            self.pool.cancel_all();
        }
        let pool = Rc::clone(&self.pool);
        poll_fn(move |cx| {
            let mut state = pool.state.borrow_mut();
            if state.workers == 0 {
                return Poll::Ready(());
            }
            state.waiting.push(cx.waker().clone());
            Poll::Pending
        })
    }
}

impl Drop for ProcessPoolExecutor {
    fn drop(&mut self) {
        self.pool.close();
    }
}

/// The calls of one `map`: what is not done when this is dropped is cancelled.
struct Calls<R>(Vec<ProcessCall<R>>);

impl<R> Drop for Calls<R> {
    fn drop(&mut self) {
        for call in &self.0 {
            call.cancel();
        }
    }
}

/// What the executor, its calls and its workers share.
#[derive(Debug)]
pub(super) struct Pool {
    max_workers: usize,
    max_tasks_per_child: Option<usize>,
    kill_on_cancel: bool,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// By number, which is the order in which they are made.
    queue: BTreeMap<u64, (Rc<Call>, Request)>,
    /// Those that are being made.
    running: BTreeMap<u64, Rc<Call>>,
    submitted: u64,
    /// Worker processes, those that are starting or ending included.
    workers: usize,
    seats: u64,
    /// The seats of workers that wait for a call. One that is woken is taken out.
    idle: Vec<(u64, Waker)>,
    closed: bool,
    /// Who waits for the last worker to end.
    waiting: Vec<Waker>,
    /// The loop that drives the workers.
    home: Weak<Current>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("queued", &self.queue.len())
            .field("running", &self.running.len())
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

impl Pool {
    pub(super) fn kills_on_cancel(&self) -> bool {
        self.kill_on_cancel
    }

    /// Makes the running loop the one that drives the workers.
    #[track_caller]
    fn move_in(&self) {
        let running = Current::running();
        let mut state = self.state.borrow_mut();
        let home = state.home.upgrade();
        let elsewhere = home.is_some_and(|home| !Rc::ptr_eq(&home, &running));
        assert!(
            !elsewhere || state.workers == 0,
            "this ProcessPoolExecutor is bound to a different event loop"
        );
        state.home = Rc::downgrade(&running);
    }

    fn submit(
        self: &Rc<Self>,
        name: &'static str,
        request: Result<Vec<u8>, ProcessError>,
    ) -> Rc<Call> {
        let mut state = self.state.borrow_mut();
        state.submitted += 1;
        let call = Call::new(state.submitted, name, Rc::downgrade(self));
        match request {
            Ok(_) if state.closed => call.end(Err(ProcessError::Cancelled)),
            Err(error) => call.end(Err(error)),
            Ok(frame) => {
                let request = Request { frame, attempts: 0 };
                state.queue.insert(call.number, (Rc::clone(&call), request));
                drop(state);
                self.find_worker();
            }
        }
        call
    }

    /// Has some worker look for a call.
    fn find_worker(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        let idle = state.idle.pop();
        let start = idle.is_none() && state.workers < self.max_workers;
        drop(state);
        if let Some((_, waker)) = idle {
            waker.wake();
        } else if start {
            self.start_worker();
        }
    }

    fn start_worker(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        state.workers += 1;
        state.seats += 1;
        let seat = Seat { number: state.seats, pool: Rc::clone(self) };
        drop(state);
        create_task(work(seat));
    }

    /// Takes a call out of the queue, if it is there.
    pub(super) fn forget(&self, number: u64) {
        let forgotten = self.state.borrow_mut().queue.remove(&number);
        drop(forgotten);
    }

    fn close(&self) {
        let mut state = self.state.borrow_mut();
        state.closed = true;
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        for (_, waker) in idle {
            waker.wake();
        }
    }

    fn cancel_all(&self) {
        self.cancel_queued();
        let running: Vec<_> = self.state.borrow().running.values().cloned().collect();
        for call in running {
            call.cancel();
        }
    }

    fn cancel_queued(&self) {
        let queue = std::mem::take(&mut self.state.borrow_mut().queue);
        for (call, _) in queue.into_values() {
            call.end(Err(ProcessError::Cancelled));
        }
    }
}

/// A worker's place in its pool, from before it starts until after it has ended.
pub(super) struct Seat {
    number: u64,
    pool: Rc<Pool>,
}

impl Seat {
    pub(super) fn max_tasks(&self) -> Option<usize> {
        self.pool.max_tasks_per_child
    }

    pub(super) fn is_shut_down(&self) -> bool {
        self.pool.state.borrow().closed
    }

    /// The next call, which is running from now on.
    pub(super) fn take_call(&self) -> Option<(Rc<Call>, Request)> {
        let mut state = self.pool.state.borrow_mut();
        let (number, (call, request)) = state.queue.pop_first()?;
        state.running.insert(number, Rc::clone(&call));
        Some((call, request))
    }

    /// Gives a call back that this worker has not begun.
    pub(super) fn put_back(&self, call: &Rc<Call>, request: Request) {
        if !call.done() {
            call.has_not_begun();
            let entry = (Rc::clone(call), request);
            self.pool.state.borrow_mut().queue.insert(call.number, entry);
            self.pool.find_worker();
        }
    }

    /// A call is not running any more.
    pub(super) fn is_over(&self, call: &Call) {
        self.pool.state.borrow_mut().running.remove(&call.number);
        if call.running() {
            call.end(Err(ProcessError::Cancelled));
        }
    }

    pub(super) fn is_idle(&self, waker: &Waker) {
        self.pool.state.borrow_mut().idle.push((self.number, waker.clone()));
    }

    pub(super) fn is_not_idle(&self) {
        self.pool.state.borrow_mut().idle.retain(|(number, _)| *number != self.number);
    }

    /// Leaves, and lets another worker come if there is work for one.
    pub(super) fn replace(self) {
        if !self.pool.state.borrow().queue.is_empty() {
            self.pool.start_worker();
        }
    }

    /// Leaves; if nobody else is there to make it, the first call fails of this.
    pub(super) fn could_not_start(self, error: io::Error) {
        if self.pool.state.borrow().workers > 1 {
            return;
        }
        let first = self.pool.state.borrow_mut().queue.pop_first();
        if let Some((_, (call, _))) = first {
            call.end(Err(ProcessError::NotStarted(error)));
        }
        self.replace();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.pool.state.borrow_mut();
        state.idle.retain(|(number, _)| *number != self.number);
        state.workers -= 1;
        if state.workers > 0 {
            return;
        }
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        // With work left, a worker ends without another in its place only when the loop ends.
        self.pool.cancel_queued();
        for waker in waiting {
            waker.wake();
        }
    }
}
