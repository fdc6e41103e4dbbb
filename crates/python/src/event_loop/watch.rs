//! Watching descriptors: what is behind `add_reader`, `add_writer` and their counterparts.

use std::os::fd::RawFd;

use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyTuple};
use rondel_engine::{Direction, Notify};

use super::LoopCore;
use crate::callback::Callback;
use crate::errors::os_error;
use crate::ffi::native::object::Native;
use crate::ffi::owned::Owned;
use crate::handle::{Handle, arguments_in};
use crate::imported;

/// The object behind a reader or a writer, if there is one.
type Waiter<'py> = Option<Bound<'py, PyAny>>;

#[pymethods]
impl LoopCore {
    /// Has `callback(*args)` called whenever `fd` is readable; replaces, and cancels, the handle
    /// that was there.
    #[pyo3(signature = (fd, callback, *args, context=None))]
    fn _add_reader<'py>(
        slf: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::add_handle(slf, fd, Direction::Read, callback, args, context)
    }

    /// Has `callback(*args)` called whenever `fd` is writable; replaces, and cancels, the handle
    /// that was there.
    #[pyo3(signature = (fd, callback, *args, context=None))]
    fn _add_writer<'py>(
        slf: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::add_handle(slf, fd, Direction::Write, callback, args, context)
    }

    /// Ends what `_add_reader` began; ``False`` if there was nothing.
    fn _remove_reader(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        Self::remove_handle(slf, fd, Direction::Read)
    }

    /// Ends what `_add_writer` began; ``False`` if there was nothing.
    fn _remove_writer(slf: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        Self::remove_handle(slf, fd, Direction::Write)
    }

    /// The watched descriptors with what waits for each: ``[(fd, reader, writer), ...]``.
    fn _watched<'py>(&self, py: Python<'py>) -> PyResult<Vec<(RawFd, Waiter<'py>, Waiter<'py>)>> {
        let watched: Vec<RawFd> =
            self.with_engine(py, |engine| engine.watched().map(|(fd, _)| fd).collect())?;
        let row = |fd| self.waiters_of(py, fd).map(|(reader, writer)| (fd, reader, writer));
        watched.into_iter().map(row).collect()
    }

    /// What waits for one descriptor: ``(reader, writer)``.
    #[pyo3(name = "_waiters")]
    fn waiters_of<'py>(&self, py: Python<'py>, fd: RawFd) -> PyResult<(Waiter<'py>, Waiter<'py>)> {
        self.with_engine(py, |engine| {
            let object = |direction| match engine.waiter(fd, direction) {
                Some(Notify::Callback(callback)) => Some(callback.object(py)),
                _ => None,
            };
            (object(Direction::Read), object(Direction::Write))
        })
    }
}

impl LoopCore {
    /// Has `callback` run whenever `fd` is ready. The waiter that it replaces is cancelled.
    ///
    /// # Errors
    /// `RuntimeError` if the loop is closed; `OSError` for what cannot be watched.
    pub(crate) fn watch(
        &self,
        py: Python<'_>,
        fd: RawFd,
        direction: Direction,
        callback: Callback,
    ) -> PyResult<()> {
        self.renew_in_forked_child(py)?;
        let replaced = self
            .with_engine(py, |engine| engine.watch(fd, direction, Notify::Callback(callback)))?
            .map_err(|error| os_error(py, &error))?;
        cancel(py, replaced).map(drop)
    }

    /// Ends a watch; the waiter is cancelled. `false` if there was none.
    ///
    /// # Errors
    /// What a foreign handle's `cancel` raises.
    pub(crate) fn unwatch(
        &self,
        py: Python<'_>,
        fd: RawFd,
        direction: Direction,
    ) -> PyResult<bool> {
        // On a closed loop nothing is watched.
        let Ok((waiter, object)) = self.with_open(py, |open| {
            let waiter = open.engine.unwatch(fd, direction);
            let unused = open.engine.waiter(fd, Direction::Read).is_none()
                && open.engine.waiter(fd, Direction::Write).is_none();
            (waiter, if unused { open.watched_objects.remove(&fd) } else { None })
        }) else {
            return Ok(false);
        };
        drop(object);
        cancel(py, waiter)
    }

    fn add_handle<'py>(
        slf: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        direction: Direction,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let core = slf.get();
        core.with_open(py, |_| ())?;
        let number = descriptor(fd)?;
        let (handle, entry) = if core.is_debug() {
            let make = imported::watching_handle_in_debug(py)?;
            let handle = make.call1((slf, callback, args, context))?;
            (handle.clone(), Callback::Foreign(handle.unbind()))
        } else {
            let handle = Handle::create(slf, callback, arguments_in(args), context)?;
            (handle.clone().into_any(), Callback::Handle(Owned::new(handle)))
        };
        core.watch(py, number, direction, entry)?;
        if !fd.is_instance_of::<PyInt>() {
            let object = fd.clone().unbind();
            drop(core.with_open(py, |open| open.watched_objects.insert(number, object))?);
        }
        Ok(handle)
    }

    fn remove_handle(
        slf: &Bound<'_, Self>,
        fd: &Bound<'_, PyAny>,
        direction: Direction,
    ) -> PyResult<bool> {
        let py = slf.py();
        let core = slf.get();
        if core.with_open(py, |_| ()).is_err() {
            return Ok(false);
        }
        let number = match descriptor(fd) {
            Ok(number) => number,
            // No descriptor is so large.
            Err(error) if error.is_instance_of::<PyOverflowError>(py) => return Ok(false),
            // Closed meanwhile: the object itself says which descriptor it was.
            Err(error) => core
                .with_open(py, |open| {
                    let mut watched = open.watched_objects.iter();
                    watched.find(|(_, object)| object.is(fd)).map(|(number, _)| *number)
                })?
                .ok_or(error)?,
        };
        core.unwatch(py, number, direction)
    }
}

/// Cancels the handle that a watch gave back, so that it does not run if it is in the ready queue
/// already.
fn cancel(py: Python<'_>, waiter: Option<Notify<Callback>>) -> PyResult<bool> {
    match waiter {
        None => return Ok(false),
        Some(Notify::Callback(Callback::Handle(handle))) => {
            handle.contents().cancel_once(py);
        }
        Some(Notify::Callback(Callback::Foreign(handle))) => {
            handle.call_method0(py, intern!(py, "cancel"))?;
        }
        // A transport knows by itself whether it still wants to read or write.
        Some(Notify::Callback(_) | Notify::Waker(_)) => {}
    }
    Ok(true)
}

/// The descriptor that a number, or an object with `fileno()`, stands for.
///
/// # Errors
/// `ValueError` as `selectors` raises it; `OverflowError`, as polling raises it, for what no C int
/// can hold.
pub(crate) fn descriptor(fd: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    let py = fd.py();
    let invalid = |_| PyValueError::new_err(format!("Invalid file object: {}", display(fd)));
    let number: i64 = if fd.is_instance_of::<PyInt>() {
        match fd.extract() {
            Ok(number) => number,
            Err(_) if fd.lt(0)? => {
                return Err(PyValueError::new_err(format!("Invalid file descriptor: {fd}")));
            }
            Err(_) => i64::MAX,
        }
    } else {
        let number = fd.call_method0(intern!(py, "fileno")).map_err(invalid)?;
        py.get_type::<PyInt>()
            .call1((number,))
            .and_then(|number| number.extract())
            .map_err(invalid)?
    };
    match RawFd::try_from(number) {
        Ok(descriptor) if descriptor >= 0 => Ok(descriptor),
        Err(_) if number > 0 => {
            Err(PyOverflowError::new_err("Python int too large to convert to C int"))
        }
        _ => Err(PyValueError::new_err(format!("Invalid file descriptor: {number}"))),
    }
}

fn display(object: &Bound<'_, PyAny>) -> String {
    object.repr().map_or_else(|_| "?".to_owned(), |repr| repr.to_string_lossy().into_owned())
}
