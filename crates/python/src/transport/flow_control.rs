//! Flow control: a protocol is told to pause when too much waits to be sent, and to resume when
//! little does.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::base::{Transport, base};
use super::lifetime;
use crate::errors::ends_the_run;

const DEFAULT_HIGH: usize = 64 * 1024;

/// The two marks, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct WaterMarks {
    low: usize,
    high: usize,
}

impl Default for WaterMarks {
    fn default() -> Self {
        Self { low: DEFAULT_HIGH / 4, high: DEFAULT_HIGH }
    }
}

impl WaterMarks {
    /// What `set_write_buffer_limits(high, low)` asks for.
    ///
    /// # Errors
    /// `ValueError` unless high >= low >= 0.
    pub(super) fn new<'py>(
        py: Python<'py>,
        high: Option<Bound<'py, PyAny>>,
        low: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let high = match (high, &low) {
            (Some(high), _) => high,
            (None, None) => DEFAULT_HIGH.into_pyobject(py)?.into_any(),
            (None, Some(low)) => low.mul(4)?,
        };
        let low = match low {
            Some(low) => low,
            None => high.floor_div(4)?,
        };
        if !(high.ge(&low)? && low.ge(0)?) {
            let (high, low) = (high.repr()?, low.repr()?);
            let message = format!("high ({high}) must be >= low ({low}) must be >= 0");
            return Err(PyValueError::new_err(message));
        }
        Ok(Self { low: bytes(&low), high: bytes(&high) })
    }

    /// ``(low, high)``.
    pub(super) fn limits(self) -> (usize, usize) {
        (self.low, self.high)
    }

    pub(super) fn high(self) -> usize {
        self.high
    }
}

/// A mark may be a float, as infinity is; beyond what can be counted, all are the same.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates
fn bytes(mark: &Bound<'_, PyAny>) -> usize {
    mark.extract::<usize>()
        .or_else(|_| mark.extract::<f64>().map(|mark| mark.floor() as usize))
        .unwrap_or(usize::MAX)
}

pub(super) fn maybe_pause_protocol<T: Transport>(slf: &Bound<'_, T>) -> PyResult<()> {
    let py = slf.py();
    let unsent = slf.get().unsent(py);
    let pauses = base(slf).with(py, |life| {
        let pauses = !life.protocol_paused && unsent > life.marks.high;
        life.protocol_paused |= pauses;
        pauses
    });
    if pauses { steer(slf, "pause_writing") } else { Ok(()) }
}

pub(super) fn maybe_resume_protocol<T: Transport>(slf: &Bound<'_, T>) -> PyResult<()> {
    let py = slf.py();
    let unsent = slf.get().unsent(py);
    let resumes = base(slf).with(py, |life| {
        let resumes = life.protocol_paused && unsent <= life.marks.low;
        life.protocol_paused &= !resumes;
        resumes
    });
    if resumes { steer(slf, "resume_writing") } else { Ok(()) }
}

/// Calls `pause_writing` or `resume_writing`; what they raise is reported, and not fatal.
fn steer<T: Transport>(slf: &Bound<'_, T>, name: &str) -> PyResult<()> {
    let py = slf.py();
    let Some(protocol) = base(slf).protocol(py) else { return Ok(()) };
    match protocol.call_method0(name) {
        Ok(_) => Ok(()),
        Err(error) if ends_the_run(py, &error) => Err(error),
        Err(error) => lifetime::report(slf, error.value(py), &format!("protocol.{name}() failed")),
    }
}
