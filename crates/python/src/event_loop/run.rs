//! Running: the engine's turns, with the GIL given up while the loop is parked.

use std::io;
use std::sync::atomic::Ordering;

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use rondel_engine::clock::Clock;
use rondel_engine::{Door, EventLoop, Parking, Ready};

use super::LoopCore;
use crate::callback::Callback;
use crate::errors::ends_the_run;
use crate::ffi::exception;
use crate::ffi::native::object;
use crate::transport::stream::StreamTransport;

#[pymethods]
impl LoopCore {
    /// Runs turns until `stop()`; what surrounds a run is the Python half's.
    ///
    /// Raises what a callback raises if it is `SystemExit` or `KeyboardInterrupt`, or what a
    /// signal handler raises. Nothing that was ready is lost: it runs with the next run.
    fn _run_turns(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().receive_signals_later();
        Self::run_by(slf, |door| {
            let core = slf.get();
            core.hides_queue.store(!cfg!(Py_GIL_DISABLED), Ordering::Relaxed);
            let ran = rondel_engine::run(door);
            core.show_queue(slf.py());
            ran
        })
    }

    /// Runs one turn, for loops whose `run_forever` is somebody else's: CPython has the parts of
    /// a run as methods, so that a subclass can run its loop from within another one.
    ///
    /// Raises as `_run_turns`.
    fn _run_once(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().with_open(slf.py(), |_| ())?;
        Self::run_by(slf, rondel_engine::turn)
    }

    /// Sends what the turn's callbacks have written so far, before a fork: what the turn would send
    /// at its end, parent and child would both send.
    fn _flush_before_fork(&self, py: Python<'_>) -> PyResult<()> {
        self.flush(py, || Ok(()))
    }

    /// Whether `stop()` was called; who runs single turns looks at it after each.
    #[getter(_stopping)]
    fn is_stopping(&self, py: Python<'_>) -> bool {
        self.with_engine(py, |engine| engine.is_stopping()).unwrap_or(false)
    }

    #[setter(_stopping)]
    fn set_stopping(&self, py: Python<'_>, stopping: bool) {
        let _ = self.with_engine(py, |engine| {
            if stopping {
                engine.stop();
            } else {
                engine.do_not_stop();
            }
        });
    }

    /// Ends the run after the current turn, or after the first turn of the next run.
    fn stop(&self, py: Python<'_>) {
        // Stopping a closed loop does nothing, as in asyncio.
        let _ = self.with_engine(py, EventLoop::stop);
    }
}

impl LoopCore {
    /// Has every transport that was written to send it; calls `before` if there is one.
    fn flush(&self, py: Python<'_>, before: impl Fn() -> PyResult<()>) -> PyResult<()> {
        let mut flushed = Ok(());
        loop {
            // A finalizer or an exception handler may write while this goes on.
            let Some(mut transports) = self.take_to_flush(py) else { return flushed };
            before()?;
            for transport in transports.drain(..) {
                let sent = StreamTransport::flush(transport.bind(py));
                flushed = flushed.and(sent);
            }
            self.put_flushed(py, transports);
        }
    }

    /// Shows the collector the handles that a run leaves in the queue of a loop that may be garbage
    /// from now on.
    fn show_queue(&self, py: Python<'_>) {
        self.hides_queue.store(false, Ordering::Relaxed);
        // Only a closed loop has none.
        let _ = self.with_engine(py, |engine| {
            for entry in engine.ready().iter() {
                if let Ready::Callback(Callback::Handle(handle)) = entry {
                    object::show(&handle.bind(py));
                }
            }
        });
    }

    fn run_by<'a, 'py>(
        slf: &'a Bound<'py, Self>,
        run: impl FnOnce(&PythonDoor<'a, 'py>) -> PyResult<()>,
    ) -> PyResult<()> {
        let core = slf.get();
        core.renew_in_forked_child(slf.py())?;
        if core.running.swap(true, Ordering::Relaxed) {
            return Err(PyRuntimeError::new_err("This event loop is already running"));
        }
        let ran = run(&PythonDoor { core: slf });
        let left = core.current_task.leave(slf);
        core.running.store(false, Ordering::Relaxed);
        ran.and(left)
    }
}

/// The loop as the engine sees it.
struct PythonDoor<'a, 'py> {
    core: &'a Bound<'py, LoopCore>,
}

impl PythonDoor<'_, '_> {
    fn flush(&self) -> PyResult<()> {
        let core = self.core.get();
        // What is sent may be reported to a protocol.
        core.flush(self.core.py(), || core.current_task().leave(self.core))
    }

    /// Runs one callback and reports it if it took too long.
    #[cold]
    fn call_in_debug(&self, callback: &Callback) -> PyResult<()> {
        let py = self.core.py();
        let began = Clock::Monotonic.now();
        let ran = callback.run(self.core);
        let took = Clock::Monotonic.now().saturating_duration_since(began).as_secs_f64();
        let limit = self.core.getattr(intern!(py, "slow_callback_duration"))?;
        if ran.is_ok() && limit.le(took)? {
            let slow = intern!(py, "_callback_was_slow");
            self.core.call_method1(slow, (callback.object(py), took))?;
        }
        ran
    }
}

impl Door for PythonDoor<'_, '_> {
    type Callback = Callback;
    type Break = PyErr;

    #[inline]
    fn with<R>(&self, f: impl FnOnce(&mut EventLoop<Callback>) -> R) -> R {
        self.core.get().open.with(self.core.py(), |open| {
            #[allow(clippy::panic)] // a running loop cannot be closed
            let Some(open) = open else { panic!("the running loop was closed") };
            f(&mut open.engine)
        })
    }

    fn looks(&self) -> PyResult<()> {
        // Nothing runs until the loop has looked, which may be for long.
        self.core.get().current_task().leave(self.core)?;
        self.core.get().renew_in_forked_child(self.core.py())
    }

    fn park(&self, parking: &mut Parking) -> io::Result<()> {
        if parking.is_poll() {
            // Giving up the GIL costs more than the look.
            parking.park()
        } else if self.core.get().begin_to_receive_signals(self.core.py()) {
            // What arrived before is known to the interpreter alone, whose handlers run next.
            parking.look()
        } else {
            self.core.py().detach(|| parking.park())
        }
    }

    #[inline]
    fn parked(&self) -> PyResult<()> {
        self.core.py().check_signals()
    }

    #[inline]
    fn runs_soon(callback: &Callback) {
        callback.fetch();
    }

    #[inline]
    fn call(&self, callback: &Callback) -> PyResult<()> {
        let ran = if self.core.get().is_debug() {
            self.call_in_debug(callback)
        } else {
            callback.run(self.core)
        };
        callback.ran(self.core.py());
        match ran {
            Ok(()) if self.core.get().holds_much() => self.flush(),
            Ok(()) => Ok(()),
            Err(error) => report_stray(self.core, error),
        }
    }

    #[inline]
    fn batch_ran(&self) -> PyResult<()> {
        if self.core.get().has_to_flush(self.core.py()) { self.flush() } else { Ok(()) }
    }
}

/// What is raised outside a callback proper (a handle whose `_run` raises, an accept that fails)
/// goes to the exception handler, and the loop goes on; unless it ends the run.
#[cold]
fn report_stray(core: &Bound<'_, LoopCore>, error: PyErr) -> PyResult<()> {
    let py = core.py();
    if ends_the_run(py, &error) {
        return Err(error);
    }
    exception::handling(py, error, |error| {
        core.call_method1(intern!(py, "_stray_exception"), (error,)).map(drop)
    })
}
