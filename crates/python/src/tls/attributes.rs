//! The attributes of asyncio's `SSLProtocol` that are looked at per record, where native code has
//! them: its own code assigns and reads them as before.

use pyo3::prelude::*;

use super::protocol::{Mark, SslProtocol};
use crate::imported;

type Object<'py> = Bound<'py, PyAny>;

#[pymethods]
impl SslProtocol {
    #[getter(_state)]
    fn phase<'py>(&self, py: Python<'py>) -> Option<Object<'py>> {
        self.with(py, |state| state.phase.as_ref().map(|phase| phase.clone_ref(py).into_bound(py)))
    }

    #[setter(_state)]
    fn set_phase(&self, phase: Object<'_>) -> PyResult<()> {
        let py = phase.py();
        let is_open = phase.is(imported::ssl_wrapped(py)?);
        let reads = is_open || phase.is(imported::ssl_flushing(py)?);
        // The old one is dropped out here, as in the other setters.
        let _old = self.with(py, |state| {
            state.is_open = is_open;
            state.reads = reads;
            state.phase.replace(phase.unbind())
        });
        Ok(())
    }

    #[getter(_transport)]
    fn transport<'py>(&self, py: Python<'py>) -> Option<Object<'py>> {
        self.with(py, |state| state.transport.as_ref().map(|it| it.clone_ref(py).into_bound(py)))
    }

    #[setter(_transport)]
    fn set_transport(&self, py: Python<'_>, transport: Option<Py<PyAny>>) {
        let _old = self.with(py, |state| std::mem::replace(&mut state.transport, transport));
    }

    #[getter(_app_protocol)]
    fn protocol<'py>(&self, py: Python<'py>) -> Option<Object<'py>> {
        self.with(py, |state| state.protocol.as_ref().map(|it| it.clone_ref(py).into_bound(py)))
    }

    #[setter(_app_protocol)]
    fn set_protocol(&self, py: Python<'_>, protocol: Option<Py<PyAny>>) {
        let _old = self.with(py, |state| std::mem::replace(&mut state.protocol, protocol));
    }

    #[getter(_app_protocol_is_buffer)]
    fn is_buffered(&self, py: Python<'_>) -> bool {
        self.with(py, |state| state.buffered)
    }

    #[setter(_app_protocol_is_buffer)]
    fn set_buffered(&self, py: Python<'_>, buffered: bool) {
        self.with(py, |state| state.buffered = buffered);
    }

    #[getter(_app_reading_paused)]
    fn is_app_reading_paused(&self, py: Python<'_>) -> bool {
        self.with(py, |state| state.app_reading_paused)
    }

    #[setter(_app_reading_paused)]
    fn set_app_reading_paused(&self, py: Python<'_>, paused: bool) {
        self.with(py, |state| state.app_reading_paused = paused);
    }

    #[getter(_ssl_reading_paused)]
    fn is_ssl_reading_paused(&self, py: Python<'_>) -> bool {
        self.with(py, |state| state.ssl_reading_paused)
    }

    #[setter(_ssl_reading_paused)]
    fn set_ssl_reading_paused(&self, py: Python<'_>, paused: bool) {
        self.with(py, |state| state.ssl_reading_paused = paused);
    }

    #[getter(_app_writing_paused)]
    fn is_app_writing_paused(&self, py: Python<'_>) -> bool {
        self.with(py, |state| state.app_writing_paused)
    }

    #[setter(_app_writing_paused)]
    fn set_app_writing_paused(&self, py: Python<'_>, paused: bool) {
        self.with(py, |state| state.app_writing_paused = paused);
    }

    #[getter(_ssl_writing_paused)]
    fn is_ssl_writing_paused(&self, py: Python<'_>) -> bool {
        self.with(py, |state| state.ssl_writing_paused)
    }

    #[setter(_ssl_writing_paused)]
    fn set_ssl_writing_paused(&self, py: Python<'_>, paused: bool) {
        self.with(py, |state| state.ssl_writing_paused = paused);
    }

    #[getter(_incoming_high_water)]
    fn incoming_high<'py>(&self, py: Python<'py>) -> Option<Object<'py>> {
        self.with(py, |state| state.incoming_high.value(py))
    }

    #[setter(_incoming_high_water)]
    fn set_incoming_high(&self, high: &Object<'_>) {
        let py = high.py();
        let mark = Mark::of(high);
        let _old = self.with(py, |state| std::mem::replace(&mut state.incoming_high, mark));
    }

    #[getter(_outgoing_high_water)]
    fn outgoing_high<'py>(&self, py: Python<'py>) -> Option<Object<'py>> {
        self.with(py, |state| state.outgoing_high.value(py))
    }

    #[setter(_outgoing_high_water)]
    fn set_outgoing_high(&self, high: &Object<'_>) {
        let py = high.py();
        let mark = Mark::of(high);
        let _old = self.with(py, |state| std::mem::replace(&mut state.outgoing_high, mark));
    }
}
