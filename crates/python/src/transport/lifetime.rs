//! The life of a transport, from `connection_made` to `connection_lost`, and how it may end.

use pyo3::exceptions::PyConnectionError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rondel_engine::Direction;

use super::stream::StreamTransport;
use crate::callback::Callback;
use crate::ffi::context;

impl StreamTransport {
    /// Tells the protocol that it is connected, begins to read, and then wakes whoever waits for
    /// the connection: in this order, and nothing in between.
    pub(crate) fn start(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let event_loop = this.event_loop.bind(py);
        // Ctrl-C in connection_made ends the run; the connection goes on with the next one.
        let mut told = Ok(());
        if let Some(callback) = this.with(py, |state| state.connection_made.take()) {
            let callback = callback.into_bound(py);
            // What connection_made sets in its context is not seen by later callbacks, each of
            // which has asyncio's loop begin from a copy of its own.
            let copy = this.context(py).call_method0(intern!(py, "copy"))?;
            if let Err(error) = context::run_in(&copy, || callback.call1((slf,))) {
                told = this.callback_failed(&callback, (slf,).into_pyobject(py)?, error);
            }
        }
        if this.with(py, |state| !state.closing && !state.paused)
            && let Err(error) = Self::watch(slf, Direction::Read)
        {
            // Whoever waits for the connection is not left waiting.
            let report = intern!(py, "_stray_exception");
            event_loop.call_method1(report, (error.into_value(py),))?;
        }
        let waiter = this.with(py, |state| state.waiter.take());
        if let Some(waiter) = waiter {
            event_loop.call_method1(intern!(py, "_set_result_unless_cancelled"), (waiter,))?;
        }
        told
    }

    /// Calls `connection_lost`, then lets everything go.
    pub(crate) fn lost(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let (protocol, lost_with) =
            this.with(py, |state| (state.protocol.take(), state.lost_with.take()));
        let mut called = Ok(());
        if let (Some(protocol), Some((error, context))) = (protocol, lost_with) {
            let protocol = protocol.into_bound(py);
            let name = intern!(py, "connection_lost");
            let arguments = (error,).into_pyobject(py)?;
            let result = context::run_in(context.bind(py), || {
                protocol.call_method1(name, arguments.clone())
            });
            if let Err(error) = result {
                called = protocol
                    .getattr(name)
                    .and_then(|callback| this.callback_failed(&callback, arguments, error));
            }
        }
        Self::release(slf)?;
        called
    }

    /// Lets everything go without a word to the protocol. From here on nothing touches the
    /// descriptor, whose number may be somebody else's soon.
    pub(super) fn abandon(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().with(slf.py(), |state| {
            state.closing = true;
            state.connection_lost += 1;
        });
        Self::release(slf)
    }

    /// Lets the socket, the server and whoever waits for the end go.
    fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let (sock, server, empty_waiter) = this.with(py, |state| {
            state.outgoing.clear();
            (state.sock.take(), state.server.take(), state.empty_waiter.clone())
        });
        if let Some(sock) = sock {
            close_held(sock.bind(py))?;
        }
        let event_loop = this.event_loop.bind(py);
        if let Some(server) = server {
            event_loop.call_method1(intern!(py, "_detach_from_server"), (server, slf))?;
        }
        if let Some(waiter) = empty_waiter {
            let waiter = waiter.into_bound(py);
            if !waiter.call_method0(intern!(py, "done"))?.is_truthy()? {
                let error = PyConnectionError::new_err("Connection is closed by peer");
                waiter.call_method1(intern!(py, "set_exception"), (error.into_value(py),))?;
            }
        }
        Ok(())
    }

    /// Has `connection_lost(error)` called in the next turn, in a copy of the current context.
    pub(super) fn lose(slf: &Bound<'_, Self>, error: Option<PyErr>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let error = match error {
            Some(error) => error.into_value(py).into_any(),
            None => py.None(),
        };
        if this.with(py, |state| state.connection_lost > 0) {
            return Ok(());
        }
        let context = context::copy_current(py)?.unbind();
        this.with(py, |state| {
            state.connection_lost = 1;
            state.lost_with = Some((error, context));
        });
        this.core().push(py, Callback::StreamLost(slf.clone().unbind()))
    }

    /// Gives up: `connection_lost(error)` follows. What this turn wrote is offered to the kernel
    /// first, as it would have been already by a loop that sends at each write; the rest is
    /// dropped.
    pub(super) fn force_close(slf: &Bound<'_, Self>, error: Option<PyErr>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.with(py, |state| state.connection_lost > 0) {
            return Ok(());
        }
        this.with(py, |state| {
            if !state.writing {
                // Whether it fails is of no interest any more.
                let _ = state.outgoing.send(py, this.socket);
            }
            state.outgoing.clear();
            state.writing = false;
            state.closing = true;
        });
        this.unwatch(py, Direction::Write)?;
        this.unwatch(py, Direction::Read)?;
        Self::lose(slf, error)
    }

    /// Reports an error that ends the connection, and ends it. An `OSError` is the network's way
    /// and is not reported.
    pub(super) fn fatal_error(slf: &Bound<'_, Self>, error: PyErr, message: &str) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let report = intern!(py, "_transport_failed");
        let protocol = this.protocol(py);
        let reported = this
            .event_loop
            .bind(py)
            .call_method1(report, (slf, protocol, error.value(py), message));
        Self::force_close(slf, Some(error))?;
        reported.map(drop)
    }

    /// Reports what a protocol's callback raised, as if a handle had run it.
    fn callback_failed<'py>(
        &self,
        callback: &Bound<'py, PyAny>,
        arguments: Bound<'py, PyTuple>,
        error: PyErr,
    ) -> PyResult<()> {
        let py = callback.py();
        if crate::errors::ends_the_run(py, &error) {
            return Err(error);
        }
        let failed = intern!(py, "_callback_failed");
        let error = error.into_value(py);
        let event_loop = self.event_loop.bind(py);
        event_loop.call_method1(failed, (py.None(), callback, arguments, error)).map(drop)
    }
}

/// Takes an I/O reference, so that a `close()` by somebody else does not free the descriptor for
/// another connection while the transport uses it.
pub(super) fn hold_open(sock: &Bound<'_, PyAny>) -> PyResult<()> {
    let name = intern!(sock.py(), "_io_refs");
    if let Some(references) = sock.getattr_opt(name)? {
        sock.setattr(name, references.add(1)?)?;
    }
    Ok(())
}

/// Gives the I/O reference back and closes.
fn close_held(sock: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = sock.py();
    if sock.hasattr(intern!(py, "_decref_socketios"))? {
        sock.call_method0(intern!(py, "_decref_socketios"))?;
    }
    sock.call_method0(intern!(py, "close")).map(drop)
}
