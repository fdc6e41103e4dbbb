//! `WorkQueue`: the calls that wait for an executor's threads; `Worker`: what a thread does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use rondel_engine::Ready;
use rondel_engine::inject::Inbox;
use rondel_engine::offload::queue::{JobQueue, Pushed, Rested, poll_until};

use super::call::OffloadedCall;
use crate::callback::Callback;
use crate::ffi::cell::AttachedCell;
use crate::imported;

/// Calls that a thread makes before the interpreter looks whether others want to run: native
/// functions would never give it the occasion.
const CALLS_IN_A_ROW: usize = 32;

/// Whether the interpreter takes no more work.
static INTERPRETER_EXITS: AtomicBool = AtomicBool::new(false);

/// Has every executor refuse work from now on: the interpreter exits.
#[pyfunction]
pub(crate) fn interpreter_exits() {
    INTERPRETER_EXITS.store(true, Ordering::Release);
}

/// What is shared by an executor and its threads.
struct Shared {
    queue: JobQueue<Py<OffloadedCall>>,
    refusal: AtomicU8,
}

const OPEN: u8 = 0;
const SHUT_DOWN: u8 = 1;
const BROKEN: u8 = 2;

/// Why a broken pool is broken, in the standard library's words.
const WHY_BROKEN: &str = "A thread initializer failed, the thread pool is not usable anymore";

/// The calls that wait for the threads of one executor. When it goes, the threads end, having made
/// the calls that wait.
#[pyclass(frozen, module = "rondel._rondel")]
pub(crate) struct WorkQueue {
    max_workers: usize,
    spin: Duration,
    shared: AttachedCell<Arc<Shared>>,
}

impl Drop for WorkQueue {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.visit(|shared| Arc::clone(shared)) {
            shared.queue.close();
        }
    }
}

impl Shared {
    fn new(max_workers: usize, spin: Duration, refusal: u8) -> Arc<Self> {
        let queue = JobQueue::new(max_workers, spin);
        if refusal != OPEN {
            queue.close();
        }
        Arc::new(Self { queue, refusal: AtomicU8::new(refusal) })
    }

    fn refused(&self, py: Python<'_>) -> Option<PyErr> {
        match self.refusal.load(Ordering::Acquire) {
            OPEN if INTERPRETER_EXITS.load(Ordering::Acquire) => Some(PyRuntimeError::new_err(
                "cannot schedule new futures after interpreter shutdown",
            )),
            OPEN => None,
            BROKEN => Some(broken(py)),
            _ => Some(PyRuntimeError::new_err("cannot schedule new futures after shutdown")),
        }
    }
}

fn broken(py: Python<'_>) -> PyErr {
    match imported::broken_thread_pool(py).and_then(|class| class.call1((WHY_BROKEN,))) {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

impl WorkQueue {
    fn shared(&self, py: Python<'_>) -> Arc<Shared> {
        self.shared.with(py, |shared| Arc::clone(shared))
    }

    /// Queues `call`; `false` if a thread is wanted for it which `starts` does not promise, and it
    /// is not queued.
    ///
    /// # Errors
    /// `RuntimeError`, in the standard library's words, if the executor takes no more calls.
    pub(crate) fn push(&self, call: &Bound<'_, OffloadedCall>, starts: bool) -> PyResult<Push> {
        let py = call.py();
        let shared = self.shared(py);
        if let Some(refused) = shared.refused(py) {
            return Err(refused);
        }
        match shared.queue.push(call.clone().unbind(), starts) {
            Pushed::Queued => Ok(Push::Queued),
            Pushed::QueuedForNewThread => Ok(Push::StartThread),
            Pushed::WantsThread(_) => Ok(Push::WantsThread),
            // Closed between the two looks.
            Pushed::Closed(_) => Err(shared.refused(py).unwrap_or_else(|| {
                PyRuntimeError::new_err("cannot schedule new futures after shutdown")
            })),
        }
    }
}

/// What became of a call that was pushed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Push {
    Queued,
    StartThread,
    WantsThread,
}

#[pymethods]
impl WorkQueue {
    /// A queue for at most `max_workers` threads, of which one polls for `spin` seconds before it
    /// sleeps.
    #[new]
    fn new(max_workers: usize, spin: f64) -> PyResult<Self> {
        let spin = Duration::try_from_secs_f64(spin)
            .map_err(|error| pyo3::exceptions::PyValueError::new_err(error.to_string()))?;
        let shared = AttachedCell::new(Shared::new(max_workers, spin, OPEN));
        Ok(Self { max_workers, spin, shared })
    }

    /// Makes a call whose outcome `future` is given, and queues it if no thread need be started.
    /// Returns the call if one is wanted: it goes to `push_for_new_thread`.
    #[pyo3(name = "submit")]
    fn py_submit<'py>(
        &self,
        py: Python<'py>,
        future: Py<PyAny>,
        function: Py<PyAny>,
        arguments: &Bound<'py, PyTuple>,
        keywords: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, OffloadedCall>>> {
        let keywords = (!keywords.is_empty()).then(|| keywords.clone().unbind());
        let call = OffloadedCall::for_threads(future, function, arguments, keywords);
        let call = Bound::new(py, call)?;
        Ok((self.push(&call, false)? == Push::WantsThread).then_some(call))
    }

    /// Queues a call; true if a thread has to be started now, which has been counted.
    #[pyo3(name = "push_for_new_thread")]
    fn py_push_for_new_thread(&self, call: &Bound<'_, OffloadedCall>) -> PyResult<bool> {
        Ok(self.push(call, true)? == Push::StartThread)
    }

    /// Takes back that a thread was counted: it could not be started. True if there is no other,
    /// and so nothing is queued any more; what else was queued is cancelled.
    fn thread_failed(&self, call: &Bound<'_, OffloadedCall>) -> PyResult<bool> {
        let withdrawn = self.shared(call.py()).queue.thread_failed();
        let alone = !withdrawn.is_empty();
        for other in withdrawn {
            let other = other.bind(call.py());
            if !other.is(call) {
                OffloadedCall::cancel(other)?;
            }
        }
        Ok(alone)
    }

    /// What a new thread is given.
    fn worker(&self, py: Python<'_>) -> Worker {
        Worker { shared: self.shared(py) }
    }

    /// Takes no more calls; threads end when those that are queued are made. `cancel` cancels
    /// those.
    fn close(&self, py: Python<'_>, cancel: bool) -> PyResult<()> {
        let shared = self.shared(py);
        let _ =
            shared.refusal.compare_exchange(OPEN, SHUT_DOWN, Ordering::AcqRel, Ordering::Acquire);
        shared.queue.close();
        if cancel {
            for call in shared.queue.drain() {
                OffloadedCall::cancel(call.bind(py))?;
            }
        }
        Ok(())
    }

    /// In the child of a fork, where none of the threads is: begins with an empty queue. The
    /// parent makes the calls.
    fn begin_anew(&self, py: Python<'_>) {
        let fresh = Shared::new(self.max_workers, self.spin, OPEN);
        let old = self.shared.with(py, |shared| {
            let refusal = shared.refusal.load(Ordering::Acquire);
            let fresh = if refusal == OPEN {
                fresh
            } else {
                Shared::new(self.max_workers, self.spin, refusal)
            };
            std::mem::replace(shared, fresh)
        });
        old.queue.abandon();
        // Its lock may be held by a thread that is not there any more, and its calls by futures
        // that the parent will complete.
        std::mem::forget(old);
    }

    /// How many calls wait.
    fn qsize(&self, py: Python<'_>) -> usize {
        self.shared(py).queue.stats().queued
    }

    /// `(threads, busy, queued, taken, waited, oldest)`, the last two in seconds.
    fn stats(&self, py: Python<'_>) -> (usize, usize, usize, u64, f64, f64) {
        let stats = self.shared(py).queue.stats();
        (
            stats.threads,
            stats.threads - stats.idle,
            stats.queued,
            stats.taken,
            stats.waited.as_secs_f64(),
            stats.oldest.as_secs_f64(),
        )
    }
}

/// The queue as one of its threads sees it.
#[pyclass(frozen, module = "rondel._rondel")]
pub(crate) struct Worker {
    shared: Arc<Shared>,
}

#[pymethods]
impl Worker {
    /// Makes calls; false when the thread is to end. Waits, with the GIL released, while there are
    /// none, and returns true now and then.
    fn run(&self, py: Python<'_>) -> bool {
        let queue = &self.shared.queue;
        let mut to_wake: Option<Arc<Inbox<Ready<Callback>>>> = None;
        for _ in 0..CALLS_IN_A_ROW {
            let taken = queue.take_or_rest();
            let call = if let Some(call) = taken {
                if let Some(inbox) = to_wake.take() {
                    inbox.wake();
                }
                call
            } else {
                let inbox = to_wake.take();
                // The loop is woken when the GIL is free: it wants nothing else.
                match py.detach(|| {
                    if let Some(inbox) = inbox {
                        inbox.wake();
                    }
                    rest(queue)
                }) {
                    Rested::Job(call) => call,
                    Rested::Leave => return false,
                }
            };
            let call = call.into_bound(py);
            if let Err(error) = OffloadedCall::run(&call) {
                error.write_unraisable(py, Some(call.as_any()));
            }
            to_wake = call.get().inbox().cloned();
        }
        if let Some(inbox) = to_wake.take() {
            inbox.wake();
        }
        true
    }

    /// Takes no more calls: the interpreter exits. Threads end when those that are queued are
    /// made.
    fn close(&self) {
        self.shared.queue.close();
    }

    /// Takes no more calls: this thread could not be set up. Fails those that are queued with
    /// `BrokenThreadPool`.
    fn initializer_failed(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.refusal.store(BROKEN, Ordering::Release);
        self.shared.queue.close();
        self.shared.queue.leave();
        let calls: VecDeque<_> = self.shared.queue.drain();
        for call in calls {
            OffloadedCall::fail(call.bind(py), broken(py).into_value(py).into_any())?;
        }
        Ok(())
    }
}

/// Rests, detached. A thread that is woken at once has a call in hand before whoever pushed it has
/// released the GIL; to wait for that in the kernel would cost two more switches.
fn rest(queue: &JobQueue<Py<OffloadedCall>>) -> Rested<Py<OffloadedCall>> {
    let rested = queue.rest(None);
    if let Rested::Job(call) = &rested
        && let Some(inbox) = call.get().inbox()
    {
        poll_until(PATIENCE, || !inbox.is_awake());
    }
    rested
}

/// How long a thread with a call in hand waits for the pusher's loop to park.
const PATIENCE: Duration = Duration::from_micros(30);
