//! Unix signals: the interpreter's own handler writes their numbers into the engine's signal pipe,
//! while that is what `signal.set_wakeup_fd` knows, which a whole process shares.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU8, Ordering};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use rondel_engine::Direction;

use super::LoopCore;
use crate::callback::Callback;
use crate::imported;

/// Whether the process's signals are written into a loop's pipe.
#[derive(Default)]
pub(super) struct SignalWakeUp(AtomicU8);

impl SignalWakeUp {
    /// The loop has not asked for them.
    const IDLE: u8 = 0;
    /// It asks for them before it sleeps: a run that never sleeps does without.
    const WANTED: u8 = 1;
    /// It has asked for them.
    const ASKED: u8 = 2;

    fn change(&self, from: u8, to: u8) -> bool {
        self.0.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

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
    #[pyo3(name = "_signal_pipe_end")]
    fn signal_pipe_end(&self, py: Python<'_>) -> PyResult<RawFd> {
        self.renew_in_forked_child(py)?;
        self.with_open(py, |open| open.signal_pipe.write_fd())
    }

    /// Somebody has taken the pipe off: a run that is under way asks for signals again.
    fn _signals_taken_away(&self) {
        self.signal_wake_up.change(SignalWakeUp::ASKED, SignalWakeUp::WANTED);
    }

    /// Receives no more signals, if it asked for them or `anyway`; whoever has taken over is left alone.
    fn _stop_receiving_signals(&self, py: Python<'_>, anyway: bool) {
        let before = self.signal_wake_up.0.swap(SignalWakeUp::IDLE, Ordering::Relaxed);
        if (anyway || before == SignalWakeUp::ASKED)
            && let Ok(own) = self.with_open(py, |open| open.signal_pipe.write_fd())
        {
            let installed = exchange(py, -1, None);
            restore(py, installed.filter(|fd| *fd != own));
        }
    }
}

impl LoopCore {
    /// Has the loop receive signals when it first sleeps.
    pub(super) fn receive_signals_later(&self) {
        self.signal_wake_up.0.store(SignalWakeUp::WANTED, Ordering::Relaxed);
    }

    /// Has every signal end the loop's park, also those without a handler in this loop, if that was
    /// not done yet; then, the loop must let handlers run before it sleeps.
    ///
    /// Without it a signal that arrives between the loop's last look and its park (Ctrl-C, say)
    /// would be seen at the next event only. Whoever receives the process's signals already is
    /// left alone; in other threads than the main one, signals are not seen at all.
    #[inline]
    pub(super) fn begin_to_receive_signals(&self, py: Python<'_>) -> bool {
        let begins = self.signal_wake_up.change(SignalWakeUp::WANTED, SignalWakeUp::ASKED);
        if begins && let Ok(own) = self.signal_pipe_end(py) {
            let before = exchange(py, own, Some(false));
            restore(py, before.filter(|fd| *fd != own));
        }
        begins
    }

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

/// Has signals written to `fd`, -1 for nowhere; returns where they were written before, if it was
/// somewhere. It is an error, and nothing happens, in other threads than the main one, and with a
/// descriptor that was closed meanwhile by whoever installed it.
fn exchange(py: Python<'_>, fd: RawFd, warn_if_full: Option<bool>) -> Option<RawFd> {
    let set = || -> PyResult<RawFd> {
        let options = PyDict::new(py);
        if let Some(warn) = warn_if_full {
            options.set_item(intern!(py, "warn_on_full_buffer"), warn)?;
        }
        imported::set_wakeup_fd(py)?.call((fd,), Some(&options))?.extract()
    };
    set().ok().filter(|fd| *fd != -1)
}

fn restore(py: Python<'_>, somebodys: Option<RawFd>) {
    if let Some(fd) = somebodys {
        exchange(py, fd, None);
    }
}
