//! Flow control: a protocol is told to pause when too much waits to be sent, and to resume when
//! little does.

use pyo3::PyVisit;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pyclass::PyTraverseError;
use pyo3::types::PyInt;

use super::base::{Transport, base};
use super::lifetime;
use crate::errors::ends_the_run;

const DEFAULT_HIGH: usize = 64 * 1024;

/// The two marks, in bytes; hardly anybody sets them.
#[derive(Default)]
pub(super) struct WaterMarks(Option<Box<SetMarks>>);

struct SetMarks {
    low: usize,
    high: usize,
    /// As they were given, low and high, if these are not those numbers: infinity, say.
    given: Option<Box<[Py<PyAny>; 2]>>,
}

impl WaterMarks {
    /// What `set_write_buffer_limits(high, low)` asks for.
    ///
    /// # Errors
    /// `ValueError` unless high >= low >= 0.
    fn new<'py>(
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
        let counted = [&low, &high].iter().all(|mark| is_count(mark));
        Ok(Self(Some(Box::new(SetMarks {
            low: bytes(&low),
            high: bytes(&high),
            given: (!counted).then(|| Box::new([low.unbind(), high.unbind()])),
        }))))
    }

    fn low(&self) -> usize {
        self.0.as_ref().map_or(DEFAULT_HIGH / 4, |set| set.low)
    }

    pub(super) fn high(&self) -> usize {
        self.0.as_ref().map_or(DEFAULT_HIGH, |set| set.high)
    }

    fn given(&self) -> Option<&[Py<PyAny>; 2]> {
        self.0.as_ref()?.given.as_deref()
    }

    pub(super) fn visit(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.given().into_iter().flatten().try_for_each(|mark| visit.call(mark))
    }
}

/// A ``(low, high)`` as it was set.
pub(super) type Limits<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

/// Sets the marks that `high` and `low` ask for.
///
/// # Errors
/// `ValueError` unless high >= low >= 0.
pub(super) fn set_limits<'py, T: Transport>(
    slf: &Bound<'py, T>,
    high: Option<Bound<'py, PyAny>>,
    low: Option<Bound<'py, PyAny>>,
) -> PyResult<()> {
    let py = slf.py();
    let marks = WaterMarks::new(py, high, low)?;
    // What was given before is dropped outside the borrow: it may be anybody's.
    drop(base(slf).with(py, |life| std::mem::replace(&mut life.marks, marks)));
    Ok(())
}

pub(super) fn limits<'py, T: Transport>(slf: &Bound<'py, T>) -> PyResult<Limits<'py>> {
    let py = slf.py();
    let (low, high, given) = base(slf).with(py, |life| {
        let given = life.marks.given();
        let given = given.map(|[low, high]| (low.clone_ref(py), high.clone_ref(py)));
        (life.marks.low(), life.marks.high(), given)
    });
    match given {
        Some((low, high)) => Ok((low.into_bound(py), high.into_bound(py))),
        None => Ok((low.into_pyobject(py)?.into_any(), high.into_pyobject(py)?.into_any())),
    }
}

fn is_count(mark: &Bound<'_, PyAny>) -> bool {
    mark.is_exact_instance_of::<PyInt>() && mark.extract::<usize>().is_ok()
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
        let pauses = !life.protocol_paused && unsent > life.marks.high();
        life.protocol_paused |= pauses;
        pauses
    });
    if pauses { steer(slf, "pause_writing") } else { Ok(()) }
}

pub(super) fn maybe_resume_protocol<T: Transport>(slf: &Bound<'_, T>) -> PyResult<()> {
    let py = slf.py();
    let unsent = slf.get().unsent(py);
    let resumes = base(slf).with(py, |life| {
        let resumes = life.protocol_paused && unsent <= life.marks.low();
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
        Err(error) => lifetime::report(slf, error, &format!("protocol.{name}() failed")),
    }
}
