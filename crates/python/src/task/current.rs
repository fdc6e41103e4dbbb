//! `asyncio.current_task()`: which task of a loop is running.
//!
//! Up to Python 3.13 that is a dict of asyncio's, by loop; from 3.14 on it is part of a thread's
//! state, behind a function. One of our loops enters a task and does not leave it before something
//! else is to run: a task that follows takes its place, and one that is resumed at once is there
//! already.

use pyo3::prelude::*;

use crate::event_loop::LoopCore;
use crate::ffi::cell::AttachedCell;
use crate::ffi::owned::Owned;
use crate::task::Task;

/// The task that one of our loops has entered and not left.
#[derive(Default)]
pub(crate) struct CurrentTask(AttachedCell<Option<Owned<Task>>>);

impl CurrentTask {
    /// Makes `task` the loop's current one.
    ///
    /// # Errors
    /// `RuntimeError` if a task is running that this loop has not entered.
    #[inline]
    pub(crate) fn enter<'py>(
        &self,
        core: &Bound<'py, LoopCore>,
        task: &Bound<'py, Task>,
    ) -> PyResult<()> {
        let py = core.py();
        let (entered, same) = self.0.with(py, |entered| {
            (entered.is_some(), entered.as_ref().is_some_and(|entered| entered.is(task)))
        });
        if same {
            return Ok(());
        }
        if entered {
            asyncio::replace(core.as_any(), task.as_any())?;
        } else {
            asyncio::enter(core.as_any(), task.as_any())?;
        }
        let task = Some(Owned::new(task.clone()));
        drop(self.0.with(py, |entered| std::mem::replace(entered, task)));
        Ok(())
    }

    /// Makes the loop have no current task, before something else runs.
    ///
    /// # Errors
    /// `MemoryError`.
    #[inline]
    pub(crate) fn leave(&self, core: &Bound<'_, LoopCore>) -> PyResult<()> {
        let Some(task) = self.0.with(core.py(), Option::take) else { return Ok(()) };
        let left = asyncio::forget(core.as_any(), task.bind(core.py()).as_any());
        drop(task);
        left
    }

    pub(crate) fn visit<R>(&self, f: impl FnOnce(&Owned<Task>) -> Result<(), R>) -> Result<(), R> {
        self.0.visit(|task| task.as_ref().map_or(Ok(()), f)).unwrap_or(Ok(()))
    }
}

/// Runs `f` as a step of `task`, on a loop that is not ours.
///
/// # Errors
/// `RuntimeError` if another task is running; what `f` returns.
pub(super) fn during<'py, R>(
    event_loop: &Bound<'py, PyAny>,
    task: &Bound<'py, Task>,
    f: impl FnOnce() -> PyResult<R>,
) -> PyResult<R> {
    asyncio::enter(event_loop, task.as_any())?;
    let done = f();
    asyncio::leave(event_loop, task.as_any())?;
    done
}

/// Runs `f` as a step of `task` within whatever runs now.
///
/// # Errors
/// What `f` returns.
pub(super) fn instead<'py, R>(
    event_loop: &Bound<'py, PyAny>,
    task: &Bound<'py, Task>,
    f: impl FnOnce() -> PyResult<R>,
) -> PyResult<R> {
    let before = asyncio::swap(event_loop, Some(task.as_any()))?;
    let done = f();
    asyncio::swap(event_loop, before.as_ref())?;
    done
}

#[cfg(not(Py_3_14))]
mod asyncio {
    //! The dict of current tasks.

    use pyo3::exceptions::PyRuntimeError;
    use pyo3::prelude::*;
    use pyo3::types::PyDict;

    use crate::imported;

    fn current(py: Python<'_>) -> PyResult<&Bound<'_, PyDict>> {
        imported::current_tasks(py)
    }

    pub(super) fn enter(event_loop: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        let current = current(event_loop.py())?;
        if let Some(running) = current.get_item(event_loop)? {
            return Err(PyRuntimeError::new_err(format!(
                "Cannot enter into task {} while another task {} is being executed.",
                task.repr()?,
                running.repr()?
            )));
        }
        current.set_item(event_loop, task)
    }

    pub(super) fn leave(event_loop: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        let current = current(event_loop.py())?;
        let running = current.get_item(event_loop)?;
        if running.as_ref().is_none_or(|running| !running.is(task)) {
            let running = running.map_or_else(
                || Ok("None".to_owned()),
                |it| it.repr().map(|repr| repr.to_string()),
            )?;
            return Err(PyRuntimeError::new_err(format!(
                "Leaving task {} does not match the current task {running}.",
                task.repr()?
            )));
        }
        current.del_item(event_loop)
    }

    pub(super) fn replace(event_loop: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        current(event_loop.py())?.set_item(event_loop, task)
    }

    pub(super) fn forget(event_loop: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        let current = current(event_loop.py())?;
        match current.get_item(event_loop)? {
            Some(running) if running.is(task) => current.del_item(event_loop),
            _ => Ok(()),
        }
    }

    pub(super) fn swap<'py>(
        event_loop: &Bound<'py, PyAny>,
        task: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let current = current(event_loop.py())?;
        let before = current.get_item(event_loop)?;
        match task {
            Some(task) => current.set_item(event_loop, task)?,
            None if before.is_some() => current.del_item(event_loop)?,
            None => {}
        }
        Ok(before)
    }
}

#[cfg(Py_3_14)]
mod asyncio {
    //! The functions that asyncio has for tasks that are not its own.

    use pyo3::prelude::*;

    use crate::imported;

    pub(super) fn enter(event_loop: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        imported::enter_task(event_loop.py())?.call1((event_loop, task)).map(drop)
    }

    pub(super) fn leave(event_loop: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        imported::leave_task(event_loop.py())?.call1((event_loop, task)).map(drop)
    }

    pub(super) fn replace(event_loop: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        swap(event_loop, Some(task)).map(drop)
    }

    pub(super) fn forget(event_loop: &Bound<'_, PyAny>, _task: &Bound<'_, PyAny>) -> PyResult<()> {
        swap(event_loop, None).map(drop)
    }

    pub(super) fn swap<'py>(
        event_loop: &Bound<'py, PyAny>,
        task: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let before = imported::swap_current_task(event_loop.py())?.call1((event_loop, task))?;
        Ok(Some(before).filter(|before| !before.is_none()))
    }
}
