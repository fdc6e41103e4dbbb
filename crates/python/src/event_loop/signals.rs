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
    /// Begins to watch the signal pipe, and returns the descriptor for `signal.set_wakeup_fd()`.
    fn _open_signal_pipe(slf: &Bound<'_, Self>) -> PyResult<RawFd> {
        let py = slf.py();
        let core = slf.get();
        let (read, write) =
            core.with_open(py, |open| (open.signal_pipe.read_fd(), open.signal_pipe.write_fd()))?;
        core.watch(py, read, Direction::Read, Callback::Signals(slf.clone().unbind()))?;
        Ok(write)
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
