//! A call in another process, as the loop sees it.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use rondel_engine::workers::framing::Frame;
use rondel_engine::workers::process::WorkerProcess;
use serde::de::DeserializeOwned;

use super::ProcessError;
use super::processes::Pool;
use super::registry::{NOT_SENT, PANICKED, RETURNED};

/// A call that was given to a [`ProcessPoolExecutor`](crate::ProcessPoolExecutor). Awaiting it
/// gives what the function returned.
///
/// Dropped before it was ever awaited, it lets the call go on; dropped while it is awaited, when a
/// timeout has passed or the task is cancelled, it [cancels](Self::cancel) the call.
#[must_use = "await it to see whether the call succeeded"]
pub struct ProcessCall<T> {
    call: Rc<Call>,
    awaited: bool,
    returns: PhantomData<fn() -> T>,
}

impl<T> ProcessCall<T> {
    pub(super) fn new(call: Rc<Call>) -> Self {
        Self { call, awaited: false, returns: PhantomData }
    }

    /// Cancels the call if no worker has taken it up yet, or if the executor
    /// [kills on cancel](crate::ProcessPoolExecutorBuilder::kill_on_cancel), and returns whether
    /// it is cancelled.
    pub fn cancel(&self) -> bool {
        self.call.cancel()
    }

    /// Cancels the call even if it is being made: its worker process is killed, and another takes
    /// its place. Returns whether the call is cancelled, which it is unless it was done.
    pub fn kill(&self) -> bool {
        self.call.kill()
    }

    /// Whether the call is being made now.
    pub fn running(&self) -> bool {
        self.call.running()
    }

    /// Whether the call has a result or an error.
    pub fn done(&self) -> bool {
        self.call.done()
    }
}

impl<T: DeserializeOwned> Future for ProcessCall<T> {
    type Output = Result<T, ProcessError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.awaited = true;
        let mut state = self.call.state.borrow_mut();
        match &mut *state {
            State::Queued { awaiter } | State::Running { awaiter, .. } => {
                let replaced = awaiter.replace(cx.waker().clone());
                drop(state);
                drop(replaced);
                return Poll::Pending;
            }
            State::Done(_) | State::Taken => {}
        }
        match std::mem::replace(&mut *state, State::Taken) {
            State::Done(Ok(answer)) => Poll::Ready(read(self.call.name, &answer)),
            State::Done(Err(error)) => Poll::Ready(Err(error)),
            _ => panic!("a call was awaited after it had given its result"),
        }
    }
}

impl<T> Drop for ProcessCall<T> {
    fn drop(&mut self) {
        if self.awaited {
            self.cancel();
        }
    }
}

impl<T> fmt::Debug for ProcessCall<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessCall")
            .field("function", &self.call.name)
            .field("done", &self.done())
            .finish_non_exhaustive()
    }
}

/// What a worker's answer says.
fn read<T: DeserializeOwned>(name: &'static str, answer: &Frame) -> Result<T, ProcessError> {
    let text = || String::from_utf8_lossy(&answer.body).into_owned();
    match answer.tag {
        RETURNED => postcard::from_bytes(&answer.body)
            .map_err(|error| ProcessError::NotSent(error.to_string())),
        PANICKED => Err(ProcessError::Panicked(text())),
        NOT_SENT => Err(ProcessError::NotSent(text())),
        _ => Err(ProcessError::NotRegistered(name)),
    }
}

/// What the pool and who waits both see of a call.
pub(super) struct Call {
    /// Its place in the queue, which it gets back if its worker was gone before it began.
    pub(super) number: u64,
    name: &'static str,
    state: RefCell<State>,
    pool: Weak<Pool>,
}

enum State {
    Queued { awaiter: Option<Waker> },
    Running { awaiter: Option<Waker>, worker: Rc<RefCell<WorkerProcess>> },
    Done(Result<Frame, ProcessError>),
    Taken,
}

impl Call {
    pub(super) fn new(number: u64, name: &'static str, pool: Weak<Pool>) -> Rc<Self> {
        let state = RefCell::new(State::Queued { awaiter: None });
        Rc::new(Self { number, name, state, pool })
    }

    /// Whether the call has a result or an error.
    pub(super) fn done(&self) -> bool {
        matches!(*self.state.borrow(), State::Done(_) | State::Taken)
    }

    /// Whether it is being made.
    pub(super) fn running(&self) -> bool {
        matches!(*self.state.borrow(), State::Running { .. })
    }

    /// Notes who makes it; it may have been cancelled meanwhile.
    pub(super) fn begin(&self, worker: &Rc<RefCell<WorkerProcess>>) {
        let mut state = self.state.borrow_mut();
        if let State::Queued { awaiter } = &mut *state {
            *state = State::Running { awaiter: awaiter.take(), worker: Rc::clone(worker) };
        }
    }

    /// Takes back that it has begun.
    pub(super) fn has_not_begun(&self) {
        let mut state = self.state.borrow_mut();
        if let State::Running { awaiter, .. } = &mut *state {
            *state = State::Queued { awaiter: awaiter.take() };
        }
    }

    /// Settles it, unless it is already, and wakes who waits.
    pub(super) fn end(&self, result: Result<Frame, ProcessError>) {
        let mut state = self.state.borrow_mut();
        let (State::Queued { awaiter } | State::Running { awaiter, .. }) = &mut *state else {
            return;
        };
        let awaiter = awaiter.take();
        *state = State::Done(result);
        drop(state);
        if let Some(awaiter) = awaiter {
            awaiter.wake();
        }
    }

    pub(super) fn cancel(&self) -> bool {
        let pool = self.pool.upgrade();
        if self.running() && !pool.is_some_and(|pool| pool.kills_on_cancel()) {
            return false;
        }
        self.kill()
    }

    fn kill(&self) -> bool {
        let worker = match &*self.state.borrow() {
            State::Done(Err(ProcessError::Cancelled)) => return true,
            State::Done(_) | State::Taken => return false,
            State::Queued { .. } => None,
            State::Running { worker, .. } => Some(Rc::clone(worker)),
        };
        match worker {
            // Whoever drives the worker sees its end and goes on from there.
            Some(worker) => worker.borrow().kill(),
            None => {
                if let Some(pool) = self.pool.upgrade() {
                    pool.forget(self.number);
                }
            }
        }
        self.end(Err(ProcessError::Cancelled));
        true
    }
}
