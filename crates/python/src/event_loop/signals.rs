//! Unix signals: the interpreter's own handler writes their numbers into the engine's signal pipe.

use std::os::fd::RawFd;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rondel_engine::Direction;

use super::LoopCore;
use crate::callback::Callback;

#[pymethods]
impl LoopCore {
    /// Begins to watch the signal pipe.
    fn _watch_signal_pipe(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let core = slf.get();
        let read = core.with_open(py, |open| open.signal_pipe.read_fd())?;
        core.watch(py, read, Direction::Read, Callback::Signals(slf.clone().unbind()))
    }

    /// The descriptor for `signal.set_wakeup_fd()`; in a forked child not its parent's.
    fn _signal_pipe_end(&self, py: Python<'_>) -> PyResult<RawFd> {
        self.renew_in_forked_child(py)?;
        self.with_open(py, |open| open.signal_pipe.write_fd())
    }
}

impl LoopCore {
    /// Hands the signal numbers to the Python half, as bytes.
    pub(crate) fn signals_arrived(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Ok(numbers) = slf.get().with_open(py, |open| open.signal_pipe.drain()) else {
            return Ok(());
        };
        let numbers = PyBytes::new(py, &numbers);
        slf.call_method1(intern!(py, "_process_self_data"), (numbers,)).map(drop)
    }
}
