//! `asyncio.all_tasks()`: every task that may still run.
//!
//! asyncio has a `WeakSet` of them, and to add a task there takes longer than all else that making
//! it takes. Ours are in a list of their own, which `rondel.cpython` has that set show, too.

use pyo3::intern;
use pyo3::prelude::*;

use super::Task;
use crate::ffi::native::object::Native;

pub(super) use place::{Place, register, unregister};

#[cfg(not(Py_GIL_DISABLED))]
mod place {
    use pyo3::prelude::*;
    use pyo3::sync::PyOnceLock;

    use super::Task;
    use crate::ffi::native::living::{self, Links, listed_class};
    use crate::ffi::native::object::Native;
    use crate::imported;

    /// A task's place in the list.
    pub(in super::super) type Place = Links<Task>;

    listed_class!(Task, registered);

    /// Puts a task among those that may still run.
    ///
    /// # Errors
    /// What importing raises, for the first task.
    #[inline]
    pub(in super::super) fn register(slf: &Bound<'_, Task>) -> PyResult<()> {
        static SHOWN: PyOnceLock<()> = PyOnceLock::new();
        let py = slf.py();
        if SHOWN.get(py).is_none() {
            imported::show_listed_tasks(py)?.call0()?;
            let _ = SHOWN.set(py, ());
        }
        living::add(slf);
        Ok(())
    }

    /// Ends what `register` began.
    ///
    /// # Errors
    /// None; without a GIL there may be some.
    #[inline]
    pub(in super::super) fn unregister(slf: &Bound<'_, Task>) -> PyResult<()> {
        slf.contents().registered.leave();
        Ok(())
    }

    pub(super) fn listed(py: Python<'_>) -> Vec<Bound<'_, Task>> {
        living::objects(py)
    }
}

/// Without a GIL a task could end while another thread finds it in our list.
#[cfg(Py_GIL_DISABLED)]
mod place {
    use pyo3::prelude::*;

    use super::Task;
    use crate::imported;

    /// A task's place is in asyncio's set, not here.
    #[derive(Default)]
    pub(in super::super) struct Place(());

    impl Place {
        pub(in super::super) fn leave(&self) {}
    }

    /// Puts a task among those that may still run.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(in super::super) fn register(slf: &Bound<'_, Task>) -> PyResult<()> {
        imported::register_task(slf.py())?.call1((slf,)).map(drop)
    }

    /// Ends what `register` began.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(in super::super) fn unregister(slf: &Bound<'_, Task>) -> PyResult<()> {
        imported::unregister_task(slf.py())?.call1((slf,)).map(drop)
    }

    pub(super) fn listed(_py: Python<'_>) -> Vec<Bound<'_, Task>> {
        Vec::new()
    }
}

/// Adds what `rondel.cpython` knows the list by.
///
/// # Errors
/// `MemoryError`.
pub(super) fn add_functions(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(listed_tasks, module)?)?;
    module.add_function(wrap_pyfunction!(unlist_task, module)?)
}

/// Rondel's tasks that may still run, of all loops.
#[pyfunction]
fn listed_tasks(py: Python<'_>) -> Vec<Bound<'_, PyAny>> {
    place::listed(py).into_iter().map(Bound::into_any).collect()
}

/// Takes a task off the list, if it is one of Rondel's.
#[pyfunction]
fn unlist_task(task: &Bound<'_, PyAny>) {
    if let Ok(task) = task.cast::<Task>() {
        task.contents().registered.leave();
    }
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
