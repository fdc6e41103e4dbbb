//! A call that was handed over: who makes it, who waits for it, and what passes between the two.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::JoinError;

/// The two sides of a call: who makes it and who waits for it.
pub(crate) fn completing<T>() -> (Completion<T>, Submitted<T>) {
    let call = Arc::new(Call { state: Mutex::new(CallState::Queued(None)) });
    (Completion(Arc::clone(&call)), Submitted { call, awaited: false })
}

/// A call that was given to an executor or to another thread's loop. Awaiting it gives what the call returned.
///
/// Dropped before it was ever awaited, it lets the call go on; dropped while it is awaited, when
/// a timeout has passed or the task is cancelled, it cancels a call that has not begun.
#[must_use = "await it to see whether the call panicked"]
pub struct Submitted<T> {
    call: Arc<Call<T>>,
    awaited: bool,
}

impl<T> Submitted<T> {
    /// Cancels the call if no thread has taken it up yet, and returns whether it is cancelled.
    pub fn cancel(&self) -> bool {
        let mut state = self.call.lock();
        match &mut *state {
            CallState::Queued(awaiter) => {
                let awaiter = awaiter.take();
                *state = CallState::Done(Err(JoinError::Cancelled));
                drop(state);
                if let Some(awaiter) = awaiter {
                    awaiter.wake();
                }
                true
            }
            CallState::Done(Err(JoinError::Cancelled)) => true,
            _ => false,
        }
    }

    /// Blocks this thread until the call is done, and gives its result. Not for a loop's thread,
    /// which it would stop.
    ///
    /// # Errors
    /// That of awaiting it.
    pub fn result(self) -> Result<T, JoinError> {
        futures_lite::future::block_on(self)
    }

    /// Whether the call is being made now.
    pub fn running(&self) -> bool {
        matches!(*self.call.lock(), CallState::Running(_))
    }

    /// Whether the call has returned, panicked or been cancelled.
    pub fn done(&self) -> bool {
        matches!(*self.call.lock(), CallState::Done(_) | CallState::Taken)
    }
}

impl<T> Future for Submitted<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.awaited = true;
        let mut state = self.call.lock();
        match &mut *state {
            CallState::Queued(awaiter) | CallState::Running(awaiter) => {
                let replaced = awaiter.replace(cx.waker().clone());
                drop(state);
                drop(replaced);
                Poll::Pending
            }
            CallState::Done(_) => match std::mem::replace(&mut *state, CallState::Taken) {
                CallState::Done(result) => Poll::Ready(result),
                _ => unreachable!("it was done a moment ago, under the same lock"),
            },
            CallState::Taken => panic!("a call was awaited after it had given its result"),
        }
    }
}

impl<T> Drop for Submitted<T> {
    fn drop(&mut self) {
        if self.awaited {
            self.cancel();
        }
    }
}

impl<T> std::fmt::Debug for Submitted<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Submitted").field("done", &self.done()).finish_non_exhaustive()
    }
}

/// What the thread and the loop both see of a call.
struct Call<T> {
    state: Mutex<CallState<T>>,
}

enum CallState<T> {
    Queued(Option<Waker>),
    Running(Option<Waker>),
    Done(Result<T, JoinError>),
    Taken,
}

impl<T> Call<T> {
    fn lock(&self) -> MutexGuard<'_, CallState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The side of a call that makes it. Dropped without a result, it cancels the call.
pub(crate) struct Completion<T>(Arc<Call<T>>);

impl<T> Completion<T> {
    /// Whether the call is still wanted.
    pub(crate) fn begin(&self) -> bool {
        let mut state = self.0.lock();
        let CallState::Queued(awaiter) = &mut *state else { return false };
        *state = CallState::Running(awaiter.take());
        true
    }

    pub(crate) fn end(&self, result: Result<T, JoinError>) {
        let mut state = self.0.lock();
        let (CallState::Queued(awaiter) | CallState::Running(awaiter)) = &mut *state else {
            return;
        };
        let awaiter = awaiter.take();
        *state = CallState::Done(result);
        drop(state);
        if let Some(awaiter) = awaiter {
            awaiter.wake();
        }
    }
}

impl<T> Drop for Completion<T> {
    fn drop(&mut self) {
        self.end(Err(JoinError::Cancelled));
    }
}
