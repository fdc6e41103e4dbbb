//! What is queued, to be looked at: `_ready` and `_scheduled`, under asyncio's private names.
//!
//! Monitors and tests take their length, or look for a handle. Both are copies: what is done to
//! them is done to nobody.

use pyo3::prelude::*;
use rondel_engine::{Notify, Ready};

use super::LoopCore;

#[pymethods]
impl LoopCore {
    /// What runs in the next turn, in order: handles, and whatever has a step to make.
    #[getter(_ready)]
    fn ready<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyAny>> {
        self.with_engine(py, |engine| {
            let entries = engine.ready().iter();
            let callbacks = entries.filter_map(|entry| match entry {
                Ready::Callback(callback) => Some(callback.object(py)),
                Ready::Task(_) => None,
            });
            callbacks.collect()
        })
        .unwrap_or_default()
    }

    /// The handles of the timers that are set, in no particular order.
    #[getter(_scheduled)]
    fn scheduled<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyAny>> {
        self.with_engine(py, |engine| {
            let entries = engine.timers().iter();
            let callbacks = entries.filter_map(|entry| match entry {
                Notify::Callback(callback) => Some(callback.object(py)),
                Notify::Waker(_) => None,
            });
            callbacks.collect()
        })
        .unwrap_or_default()
    }

    /// asyncio's base class brings containers of its own, which stay empty.
    #[setter(_ready)]
    fn set_ready(&self, _container: &Bound<'_, PyAny>) {}

    #[setter(_scheduled)]
    fn set_scheduled(&self, _container: &Bound<'_, PyAny>) {}
}
