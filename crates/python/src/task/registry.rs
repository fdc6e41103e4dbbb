//! `asyncio.all_tasks()`: the set, of asyncio's, of every task that may still run.
//!
//! The set is a `WeakSet`, whose own `add` takes longer than all else that making a task takes.
//! What it does is done here directly: a weak reference goes into the set inside, with the
//! callback that takes it out if the task is destroyed. A task that is done takes it out itself.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PySet;

use super::Task;
use crate::ffi::native::object::{Native, Stop, Visitor};
use crate::ffi::owned::Owned;
use crate::ffi::weak;

/// A task's place in the set.
pub(super) struct Entry(Owned);

impl Entry {
    pub(super) fn visit(&self, visitor: &Visitor<'_>) -> Result<(), Stop> {
        visitor.visit(&self.0)
    }
}

/// The set of weak references inside asyncio's set of tasks, and the callback of those.
struct Registered {
    references: Py<PySet>,
    remove: Py<PyAny>,
}

fn registered(py: Python<'_>) -> PyResult<&Registered> {
    static CELL: PyOnceLock<Registered> = PyOnceLock::new();
    CELL.get_or_try_init(py, || {
        let name = if cfg!(Py_3_12) { "_scheduled_tasks" } else { "_all_tasks" };
        let tasks = py.import("asyncio.tasks")?.getattr(name)?;
        Ok(Registered {
            references: tasks.getattr("data")?.cast_into::<PySet>()?.unbind(),
            remove: tasks.getattr("_remove")?.unbind(),
        })
    })
}

/// Puts a task into the set.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(super) fn register(slf: &Bound<'_, Task>) -> PyResult<()> {
    let py = slf.py();
    let registered = registered(py)?;
    let reference = weak::reference(slf, registered.remove.bind(py))?;
    registered.references.bind(py).add(&reference)?;
    let entry = Some(Entry(Owned::new(reference)));
    drop(slf.contents().run.with(py, |run| std::mem::replace(&mut run.registered, entry)));
    Ok(())
}

/// Takes a task out of the set.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(super) fn unregister(slf: &Bound<'_, Task>) -> PyResult<()> {
    let py = slf.py();
    let Some(entry) = slf.contents().run.with(py, |run| run.registered.take()) else {
        return Ok(());
    };
    registered(py)?.references.bind(py).discard(entry.0.bind(py)).map(drop)
}

/// Runs `f` with the task among those that run their first step before they are registered.
///
/// # Errors
/// What `f` returns.
pub(super) fn among_eager<R>(
    slf: &Bound<'_, Task>,
    f: impl FnOnce() -> PyResult<R>,
) -> PyResult<R> {
    let py = slf.py();
    let tasks = py.import(intern!(py, "asyncio.tasks"))?;
    tasks.call_method1(intern!(py, "_register_eager_task"), (slf,))?;
    let done = f();
    tasks.call_method1(intern!(py, "_unregister_eager_task"), (slf,))?;
    done
}
