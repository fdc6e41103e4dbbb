//! What the kernel offers, found out by asking it.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rustix::process::{PidfdFlags, getpid, pidfd_open};

/// ``{feature: None, or why it is missing}`` for what the loop can use.
#[pyfunction]
pub(crate) fn kernel_features(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let features = PyDict::new(py);
    let pidfd = pidfd_open(getpid(), PidfdFlags::empty());
    features.set_item("pidfd", pidfd.err().map(|error| error.to_string()))?;
    features.set_item("epoll_pwait2", rondel_engine::driver::probe_exact_timeouts().err())?;
    Ok(features)
}
