//! The life of a transport, from `connection_made` to `connection_lost`, and how it may end.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rondel_engine::Direction;

use super::base::{BaseTransport, Step, Transport, base, log_in_debug, unwatch, watch};
use crate::errors::ends_the_run;
use crate::ffi::context;
use crate::ffi::exception;

/// From the fifth write after the connection was lost, each logs a warning (asyncio's constant).
const WARN_AFTER_LATE_WRITES: u32 = 5;

/// Has a new transport of a socket known to its loop, and `connection_made` called in the next
/// turn.
pub(super) fn begin<T: Transport>(slf: &Bound<'_, T>) -> PyResult<()> {
    let base = base(slf);
    base.core().transports().enter(base.descriptor.number(), slf.as_super());
    begin_unknown(slf)
}

/// Has `connection_made` called in the next turn. Nobody asks the loop for transports of pipes.
pub(super) fn begin_unknown<T: Transport>(slf: &Bound<'_, T>) -> PyResult<()> {
    base(slf).core().push(slf.py(), T::callback(Step::Start, slf.clone().unbind()))
}

/// Tells the protocol that it is connected, begins to read, and then wakes whoever waits for the
/// connection: in this order, and nothing in between.
pub(super) fn start<T: Transport>(slf: &Bound<'_, T>) -> PyResult<()> {
    let py = slf.py();
    let base = base(slf);
    let event_loop = base.event_loop.bind(py);
    // Ctrl-C in connection_made ends the run; the connection goes on with the next one.
    let mut told = Ok(());
    if let Some(callback) = base.with(py, |life| life.connection_made.take()) {
        let callback = callback.into_bound(py);
        let context = match base.shared_context(py) {
            Some(context) => context,
            // What connection_made sets in its context is not seen by later callbacks, each of
            // which has asyncio's loop begin from a copy of its own.
            None => base.context(py).call_method0(intern!(py, "copy"))?,
        };
        if let Err(error) = context::run_in(&context, || callback.call1((slf,))) {
            told = callback_failed(base, &callback, (slf,).into_pyobject(py)?, error);
        }
    }
    if base.is_reading(py)
        && let Err(error) = watch(slf, Direction::Read)
    {
        // Whoever waits for the connection is not left waiting.
        let report = intern!(py, "_stray_exception");
        exception::handling(py, error, |error| event_loop.call_method1(report, (error,)))?;
    }
    let waiter = base.with(py, |life| life.waiter.take());
    if let Some(waiter) = waiter {
        event_loop.call_method1(intern!(py, "_set_result_unless_cancelled"), (waiter,))?;
    }
    told
}

/// Stops calling the protocol with data, until [`resume_reading`].
pub(super) fn pause_reading<T: Transport>(slf: &Bound<'_, T>) -> PyResult<()> {
    let py = slf.py();
    let base = base(slf);
    if !base.is_reading(py) {
        return Ok(());
    }
    base.with(py, |life| life.paused = true);
    unwatch(slf, Direction::Read)?;
    log_in_debug(slf, "%r pauses reading")
}

/// Undoes [`pause_reading`]; `false` if there is nothing to undo.
pub(super) fn resume_reading<T: Transport>(slf: &Bound<'_, T>) -> PyResult<bool> {
    let py = slf.py();
    let base = base(slf);
    let resumed = base.with(py, |life| {
        let resumes = !life.closing && life.paused;
        life.paused &= !resumes;
        resumes
    });
    if resumed {
        watch(slf, Direction::Read)?;
        log_in_debug(slf, "%r resumes reading")?;
    }
    Ok(resumed)
}

/// Whether the connection is lost already; such writes are dropped, with a warning if there are
/// many.
pub(super) fn is_late_write(base: &BaseTransport, py: Python<'_>) -> PyResult<bool> {
    let late = base.with(py, |life| {
        let late = life.connection_lost;
        life.connection_lost += u32::from(late > 0);
        late
    });
    if late >= WARN_AFTER_LATE_WRITES {
        let message = "socket.send() raised exception.";
        crate::imported::logger(py)?.call_method1(intern!(py, "warning"), (message,))?;
    }
    Ok(late > 0)
}

/// Calls `connection_lost`, then lets everything go.
pub(super) fn lost<T: Transport>(slf: &Bound<'_, T>) -> PyResult<()> {
    let py = slf.py();
    let base = base(slf);
    let (protocol, lost_with) = base.with(py, |life| (life.protocol.take(), life.lost_with.take()));
    let mut called = Ok(());
    if let (Some(protocol), Some(lost_with)) = (protocol, lost_with) {
        let (error, context) = *lost_with;
        let protocol = protocol.into_bound(py);
        let name = intern!(py, "connection_lost");
        let arguments = (error,).into_pyobject(py)?;
        let result =
            context::run_in(context.bind(py), || protocol.call_method1(name, arguments.clone()));
        if let Err(error) = result {
            called = protocol
                .getattr(name)
                .and_then(|callback| callback_failed(base, &callback, arguments, error));
        }
    }
    release(slf)?;
    called
}

/// Lets everything go without a word to the protocol. From here on nothing touches the
/// descriptor, whose number may be somebody else's soon.
pub(super) fn abandon<T: Transport>(slf: &Bound<'_, T>) -> PyResult<()> {
    base(slf).with(slf.py(), |life| {
        life.closing = true;
        life.connection_lost += 1;
    });
    release(slf)
}

fn release<T: Transport>(slf: &Bound<'_, T>) -> PyResult<()> {
    let py = slf.py();
    T::drop_unsent(slf);
    let owner = base(slf).with(py, |life| life.owner.take());
    if let Some(owner) = owner {
        close_held(owner.bind(py))?;
    }
    T::release(slf)
}

/// Has `connection_lost(error)` called in the next turn: in the context that the transport was
/// given, or else in a copy of the current one.
pub(super) fn lose<T: Transport>(slf: &Bound<'_, T>, error: Option<PyErr>) -> PyResult<()> {
    let py = slf.py();
    let base = base(slf);
    let error = match error {
        Some(error) => error.into_value(py).into_any(),
        None => py.None(),
    };
    if base.with(py, |life| life.connection_lost > 0) {
        return Ok(());
    }
    let context = match base.shared_context(py) {
        Some(context) => context,
        None => context::copy_current(py)?,
    };
    base.with(py, |life| {
        life.connection_lost = 1;
        life.lost_with = Some(Box::new((error, context.unbind())));
    });
    base.core().push(py, T::callback(Step::Lost, slf.clone().unbind()))
}

/// Gives up: `connection_lost(error)` follows, and what was not sent is dropped.
pub(super) fn force_close<T: Transport>(slf: &Bound<'_, T>, error: Option<PyErr>) -> PyResult<()> {
    let py = slf.py();
    let base = base(slf);
    if base.with(py, |life| life.connection_lost > 0) {
        return Ok(());
    }
    T::drop_unsent(slf);
    base.with(py, |life| {
        life.writing = false;
        life.closing = true;
    });
    unwatch(slf, Direction::Write)?;
    unwatch(slf, Direction::Read)?;
    lose(slf, error)
}

/// Reports an error that ends the connection, and ends it. An `OSError` is the network's way and
/// is not reported.
pub(super) fn fatal_error<T: Transport>(
    slf: &Bound<'_, T>,
    error: PyErr,
    message: &str,
) -> PyResult<()> {
    let py = slf.py();
    let base = base(slf);
    let report = intern!(py, "_transport_failed");
    let protocol = base.protocol(py);
    let event_loop = base.event_loop.bind(py);
    exception::handling(py, error, |error| {
        let reported = event_loop.call_method1(report, (slf, protocol, error, message));
        force_close(slf, Some(PyErr::from_value(error.clone().into_any())))?;
        reported.map(drop)
    })
}

/// Reports an error of a transport, of whatever kind.
pub(super) fn report<T: Transport>(
    slf: &Bound<'_, T>,
    error: PyErr,
    message: &str,
) -> PyResult<()> {
    let py = slf.py();
    let base = base(slf);
    let event_loop = base.event_loop.bind(py);
    exception::handling(py, error, |error| {
        let arguments = (slf, base.protocol(py), error, message);
        event_loop.call_method1(intern!(py, "_report_failure"), arguments).map(drop)
    })
}

/// Reports what a protocol's callback raised, as if a handle had run it.
pub(super) fn callback_failed<'py>(
    base: &BaseTransport,
    callback: &Bound<'py, PyAny>,
    arguments: Bound<'py, PyTuple>,
    error: PyErr,
) -> PyResult<()> {
    let py = callback.py();
    if ends_the_run(py, &error) {
        return Err(error);
    }
    let failed = intern!(py, "_callback_failed");
    let event_loop = base.event_loop.bind(py);
    exception::handling(py, error, |error| {
        event_loop.call_method1(failed, (py.None(), callback, arguments, error)).map(drop)
    })
}

/// Takes an I/O reference of a socket, so that a `close()` by somebody else does not free the descriptor for
/// another connection while the transport uses it.
pub(super) fn hold_open(owner: &Bound<'_, PyAny>) -> PyResult<()> {
    let name = intern!(owner.py(), "_io_refs");
    if let Some(references) = owner.getattr_opt(name)? {
        owner.setattr(name, references.add(1)?)?;
    }
    Ok(())
}

/// Gives a socket's I/O reference back, and closes.
fn close_held(owner: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = owner.py();
    if owner.hasattr(intern!(py, "_decref_socketios"))? {
        owner.call_method0(intern!(py, "_decref_socketios"))?;
    }
    owner.call_method0(intern!(py, "close")).map(drop)
}
