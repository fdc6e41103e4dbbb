//! Flow control: a protocol is told to pause when too much waits to be sent, and to resume when
//! little does.

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;

use super::stream::StreamTransport;
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
    pub(super) fn high(self) -> usize {
        self.high
    }
}

#[pymethods]
impl StreamTransport {
    /// Sets the marks, in bytes. See asyncio's `WriteTransport.set_write_buffer_limits()`.
    ///
    /// Raises ValueError unless high >= low >= 0.
    #[pyo3(signature = (high=None, low=None))]
    fn set_write_buffer_limits(
        slf: &Bound<'_, Self>,
        high: Option<Bound<'_, PyAny>>,
        low: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
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
        let marks = WaterMarks { low: bytes(&low), high: bytes(&high) };
        slf.get().with(py, |state| state.marks = marks);
        // What waits only for the end of the turn is not what a mark is about.
        Self::flush(slf)?;
        Self::maybe_pause_protocol(slf)
    }

    /// The marks, in bytes: ``(low, high)``.
    fn get_write_buffer_limits(&self, py: Python<'_>) -> (usize, usize) {
        let marks = self.with(py, |state| state.marks);
        (marks.low, marks.high)
    }

    /// Whether the protocol was told to pause; asyncio's own `loop.sendfile()` asks.
    #[getter]
    fn _protocol_paused(&self, py: Python<'_>) -> bool {
        self.with(py, |state| state.protocol_paused)
    }
}

/// A mark may be a float, as infinity is; beyond what can be counted, all are the same.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates
fn bytes(mark: &Bound<'_, PyAny>) -> usize {
    mark.extract::<usize>()
        .or_else(|_| mark.extract::<f64>().map(|mark| mark.floor() as usize))
        .unwrap_or(usize::MAX)
}

impl StreamTransport {
    pub(super) fn maybe_pause_protocol(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let pauses = slf.get().with(py, |state| {
            let pauses = !state.protocol_paused && state.outgoing.len() > state.marks.high;
            state.protocol_paused |= pauses;
            pauses
        });
        if pauses { Self::steer(slf, "pause_writing") } else { Ok(()) }
    }

    pub(super) fn maybe_resume_protocol(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let resumes = slf.get().with(py, |state| {
            let resumes = state.protocol_paused && state.outgoing.len() <= state.marks.low;
            state.protocol_paused &= !resumes;
            resumes
        });
        if resumes { Self::steer(slf, "resume_writing") } else { Ok(()) }
    }

    /// Calls `pause_writing` or `resume_writing`; what they raise is reported, and not fatal.
    fn steer(slf: &Bound<'_, Self>, name: &str) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let Some(protocol) = this.protocol(py) else { return Ok(()) };
        match protocol.call_method0(name) {
            Ok(_) => Ok(()),
            Err(error) if ends_the_run(py, &error) => Err(error),
            Err(error) => {
                let report = intern!(py, "_flow_control_failed");
                let message = format!("protocol.{name}() failed");
                let event_loop = this.event_loop.bind(py);
                let error = error.into_value(py);
                event_loop.call_method1(report, (slf, protocol, error, message)).map(drop)
            }
        }
    }
}
