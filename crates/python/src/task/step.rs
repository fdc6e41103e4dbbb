//! One step of a task: from where the coroutine waited to where it waits next.

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;

use super::{Task, cancel_future, class, current, native_future, registry, report, same_loop};
use crate::errors::ends_the_run;
use crate::event_loop::LoopCore;
use crate::ffi::context;
use crate::ffi::coroutine::{self, Step};
use crate::ffi::native::object::Native;
use crate::ffi::owned::Owned;
use crate::future::{Outcome, Waiter};
use crate::imported;

/// Why a task runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It begins, has yielded to others, or is to be thrown an error.
    Scheduled,
    /// What it waited for is done.
    Woken,
}

impl Task {
    /// Runs a task that comes out of the ready queue of one of our loops, and reports what is
    /// raised outside the coroutine.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`.
    #[inline]
    pub(crate) fn run(
        core: &Bound<'_, LoopCore>,
        slf: &Bound<'_, Self>,
        cause: Cause,
    ) -> PyResult<()> {
        let py = slf.py();
        let context = slf.contents().context(py);
        let ran = context::run_in(&context, || {
            core.get().current_task().enter(core, slf)?;
            resume(slf, cause)
        });
        match ran {
            Ok(()) => Ok(()),
            Err(error) if ends_the_run(py, &error) => Err(error),
            Err(error) => report::step_failed(slf, &class::bound_step(slf)?, error),
        }
    }
}

/// A step that somebody's `call_soon` calls, in the task's context.
///
/// # Errors
/// `SystemExit`, `KeyboardInterrupt`, and what is raised outside the coroutine.
pub(super) fn called(slf: &Bound<'_, Task>, cause: Cause) -> PyResult<()> {
    let py = slf.py();
    let event_loop = slf.contents().future().event_loop(py)?.object(py);
    if let Ok(core) = event_loop.cast::<LoopCore>() {
        // Entered by our loop for the task that ran before this callback.
        core.get().current_task().leave(core)?;
    }
    current::during(&event_loop, slf, || resume(slf, cause))
}

/// The first step, within whatever runs now.
///
/// # Errors
/// `SystemExit`, `KeyboardInterrupt`, and what is raised outside the coroutine.
pub(super) fn begin_eagerly(slf: &Bound<'_, Task>) -> PyResult<()> {
    let py = slf.py();
    let task = slf.contents();
    let event_loop = task.future().event_loop(py)?.object(py);
    let stepped = current::instead(&event_loop, slf, || {
        registry::among_eager(slf, || context::run_in(&task.context(py), || step(slf, None)))
    });
    if task.future().is_pending(py) {
        registry::register(slf)?;
    } else {
        drop(task.run.with(py, |run| run.coroutine.take()));
    }
    stepped
}

/// Resumes the coroutine with what it waited for.
#[inline]
fn resume(slf: &Bound<'_, Task>, cause: Cause) -> PyResult<()> {
    let py = slf.py();
    let task = slf.contents();
    if cause == Cause::Scheduled {
        let to_throw = task.run.with(py, |run| run.to_throw.take());
        return step(slf, to_throw.map(|error| error.into_bound(py)));
    }
    let waited_for = task.run.with(py, |run| run.waits_for.as_ref().map(|it| it.get(py)));
    let Some(future) = waited_for else { return step(slf, None) };
    match native_future(&future) {
        Some(native) => match native.outcome(py)? {
            Outcome::AskAgain => step(slf, None),
            Outcome::Raised(error) => step(slf, Some(error)),
        },
        None => match future.call_method0(intern!(py, "result")) {
            Ok(_) => step(slf, None),
            Err(error) => step(slf, Some(error.into_value(py).into_bound(py).into_any())),
        },
    }
}

/// Sends into the coroutine, or throws `error`, and sees to what comes of it.
#[inline]
fn step<'py>(slf: &Bound<'py, Task>, error: Option<Bound<'py, PyAny>>) -> PyResult<()> {
    let py = slf.py();
    let task = slf.contents();
    if !task.future().is_pending(py) {
        let error = error.map_or_else(
            || Ok("None".to_owned()),
            |error| error.repr().map(|repr| repr.to_string()),
        )?;
        let message = format!("__step(): already done: {} {error}", slf.as_any().repr()?);
        return Err(imported::invalid_state(py, &message));
    }
    let (coroutine, waited_for, must_cancel) = task.run.with(py, |run| {
        let must_cancel = std::mem::take(&mut run.must_cancel);
        (run.coroutine.as_ref().map(|it| it.get(py)), run.waits_for.take(), must_cancel)
    });
    let error = if must_cancel { Some(cancelled(slf, error)?) } else { error };
    drop(waited_for);
    let Some(coroutine) = coroutine else {
        return Err(PyRuntimeError::new_err("uninitialized Task object"));
    };
    let stepped = match error {
        None => coroutine::send(&coroutine),
        Some(error) => coroutine::throw(&coroutine, &error),
    };
    match stepped {
        Ok(Step::Yielded(yielded)) => wait_for(slf, &yielded),
        Ok(Step::Returned(result)) => returned(slf, result),
        Err(error) => raised(slf, error),
    }
}

/// The error with which a task is cancelled: the one that it is to be thrown anyway, if that says
/// the same.
fn cancelled<'py>(
    slf: &Bound<'py, Task>,
    error: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    match error {
        Some(error) if error.is_instance(imported::cancelled_error(py)?)? => Ok(error),
        _ => slf.contents().future().cancelled_error(py),
    }
}

/// The coroutine has returned.
#[inline]
fn returned(slf: &Bound<'_, Task>, result: Bound<'_, PyAny>) -> PyResult<()> {
    let py = slf.py();
    let task = slf.contents();
    registry::unregister(slf)?;
    // Asked to end just before it did.
    if task.run.with(py, |run| std::mem::take(&mut run.must_cancel)) {
        let message = task.future().cancel_message(py);
        return task.future().cancel(slf.as_any(), message.as_ref()).map(drop);
    }
    task.future().set_result(slf.as_any(), result)
}

/// The coroutine has raised.
fn raised(slf: &Bound<'_, Task>, error: PyErr) -> PyResult<()> {
    let py = slf.py();
    let task = slf.contents();
    registry::unregister(slf)?;
    let ends_the_run = ends_the_run(py, &error);
    let error = error.into_value(py).into_bound(py).into_any();
    if error.is_instance(imported::cancelled_error(py)?)? {
        let ended_with = Some(Owned::new(error));
        let replaced = task
            .future()
            .state
            .with(py, |state| std::mem::replace(&mut state.rare().cancelled_error, ended_with));
        drop(replaced);
        return task.future().cancel(slf.as_any(), None).map(drop);
    }
    task.future().set_exception(slf.as_any(), &error)?;
    if ends_the_run { Err(PyErr::from_value(error)) } else { Ok(()) }
}

/// The coroutine waits for what it has yielded.
#[inline]
fn wait_for(slf: &Bound<'_, Task>, yielded: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = slf.py();
    if yielded.is_none() {
        // A bare yield: others first.
        return Task::schedule_step(slf);
    }
    if yielded.is(slf) {
        return throw_soon(slf, format!("Task cannot await on itself: {}", slf.as_any().repr()?));
    }
    let task = slf.contents();
    if let Some(future) = native_future(yielded) {
        if future.try_wait(slf, task.future().loop_identity(py)) {
            return waits_for(slf, yielded);
        }
        let own_loop = task.future().event_loop(py)?;
        let (other_loop, blocking) = future
            .state
            .with(py, |state| (state.event_loop.clone(), std::mem::take(&mut state.blocking)));
        if other_loop.is_none_or(|other| !same_loop(&own_loop, &other)) {
            future.state.with(py, |state| state.blocking = blocking);
            return different_loop(slf, yielded);
        }
        if !blocking {
            return not_awaited(slf, yielded);
        }
        future.add_waiter(yielded, Waiter::Task(Owned::new(slf.clone())))?;
    } else if !wait_for_foreign(slf, yielded)? {
        return Ok(());
    }
    waits_for(slf, yielded)
}

/// The task is among those who wait for `future`.
#[inline]
fn waits_for<'py>(slf: &Bound<'py, Task>, future: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = slf.py();
    let must_cancel = slf.contents().run.with(py, |run| {
        run.waits_for = Some(Owned::new(future.clone()));
        run.must_cancel
    });
    if must_cancel { cancel_at_once(slf, future) } else { Ok(()) }
}

/// The coroutine has come to wait while it was to be cancelled.
#[cold]
fn cancel_at_once<'py>(slf: &Bound<'py, Task>, future: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = slf.py();
    let task = slf.contents();
    let message = task.future().cancel_message(py);
    if cancel_future(future, message.as_ref())? {
        task.run.with(py, |run| run.must_cancel = false);
    }
    Ok(())
}

/// As far as [`wait_for`] differs for a future that is not ours; `false` if it is no future, or
/// not to be waited for, which the coroutine is told.
fn wait_for_foreign<'py>(slf: &Bound<'py, Task>, yielded: &Bound<'py, PyAny>) -> PyResult<bool> {
    let py = slf.py();
    let task = slf.contents();
    let name = intern!(py, "_asyncio_future_blocking");
    let blocking = match yielded.getattr_opt(name)? {
        Some(blocking) if !blocking.is_none() => blocking.is_truthy()?,
        _ => {
            let (task, yielded_repr) = (slf.as_any().repr()?, yielded.repr()?);
            let message = if coroutine::is_generator(yielded) {
                format!(
                    "yield was used instead of yield from for generator in task {task} with \
                     {yielded_repr}"
                )
            } else {
                format!("Task got bad yield: {yielded_repr}")
            };
            return throw_soon(slf, message).map(|()| false);
        }
    };
    let other_loop = imported::get_loop(py)?.call1((yielded,))?;
    if !task.future().event_loop(py)?.object(py).is(&other_loop) {
        return different_loop(slf, yielded).map(|()| false);
    }
    if !blocking {
        return not_awaited(slf, yielded).map(|()| false);
    }
    yielded.setattr(name, false)?;
    let keywords = pyo3::types::PyDict::new(py);
    keywords.set_item(intern!(py, "context"), task.context(py))?;
    let add = intern!(py, "add_done_callback");
    yielded.call_method(add, (class::bound_wake_up(slf)?,), Some(&keywords))?;
    Ok(true)
}

#[cold]
fn different_loop(slf: &Bound<'_, Task>, yielded: &Bound<'_, PyAny>) -> PyResult<()> {
    let (task, future) = (slf.as_any().repr()?, yielded.repr()?);
    throw_soon(slf, format!("Task {task} got Future {future} attached to a different loop"))
}

#[cold]
fn not_awaited(slf: &Bound<'_, Task>, yielded: &Bound<'_, PyAny>) -> PyResult<()> {
    let (task, future) = (slf.as_any().repr()?, yielded.repr()?);
    throw_soon(slf, format!("yield was used instead of yield from in task {task} with {future}"))
}

/// Has the next step throw a `RuntimeError` into the coroutine.
#[cold]
fn throw_soon(slf: &Bound<'_, Task>, message: String) -> PyResult<()> {
    let py = slf.py();
    let error = PyRuntimeError::new_err(message).into_value(py).into_bound(py).into_any();
    let error = Some(Owned::new(error));
    drop(slf.contents().run.with(py, |run| std::mem::replace(&mut run.to_throw, error)));
    Task::schedule_step(slf)
}
