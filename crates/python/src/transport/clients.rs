//! A server's connections, which asyncio's `Server` has in a weak set from Python 3.13 on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pyo3::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::PyTraverseError;
use pyo3::types::PySet;

use super::stream::StreamTransport;
use crate::event_loop::LoopCore;

/// That a transport is one of a server's connections; not any more when this is dropped.
pub(super) struct Membership(Arc<AtomicUsize>);

impl Drop for Membership {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Stands for a server's `WeakSet` of its connections. Rondel's own know that they are in it, and
/// are found among the loop's transports; others are in the set itself.
#[pyclass(frozen, module = "rondel._rondel")]
pub(crate) struct Clients {
    event_loop: Py<LoopCore>,
    /// How many are Rondel's own.
    count: Arc<AtomicUsize>,
    others: Py<PyAny>,
    /// Whether there may be any of those.
    has_others: AtomicBool,
}

#[pymethods]
impl Clients {
    #[new]
    fn new(event_loop: Py<LoopCore>, others: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self {
            event_loop,
            count: Arc::default(),
            others: others.clone().unbind(),
            has_others: AtomicBool::new(others.len()? > 0),
        })
    }

    fn add(&self, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = transport.py();
        if let Ok(own) = transport.cast::<StreamTransport>() {
            let joins = own.get().with(py, |state| {
                let joins = state.membership.is_none();
                if joins {
                    self.count.fetch_add(1, Ordering::Relaxed);
                    state.membership = Some(Membership(Arc::clone(&self.count)));
                }
                joins
            });
            if joins || self.has(own) {
                return Ok(());
            }
        }
        self.has_others.store(true, Ordering::Relaxed);
        self.others.bind(py).call_method1(intern!(py, "add"), (transport,)).map(drop)
    }

    fn discard(&self, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = transport.py();
        if let Ok(own) = transport.cast::<StreamTransport>()
            && self.has(own)
        {
            own.get().with(py, |state| state.membership = None);
            return Ok(());
        }
        self.others.bind(py).call_method1(intern!(py, "discard"), (transport,)).map(drop)
    }

    /// A set of them, which keeps them alive.
    fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PySet>> {
        let clients = PySet::empty(py)?;
        for transport in self.event_loop.get().transports().own(py) {
            if transport.cast::<StreamTransport>().is_ok_and(|own| self.has(own)) {
                clients.add(transport)?;
            }
        }
        for transport in self.others.bind(py).try_iter()? {
            clients.add(transport?)?;
        }
        Ok(clients)
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.copy(py)?.try_iter().map(Bound::into_any)
    }

    fn __contains__(&self, transport: &Bound<'_, PyAny>) -> PyResult<bool> {
        match transport.cast::<StreamTransport>() {
            Ok(own) if self.has(own) => Ok(true),
            _ => self.others.bind(transport.py()).contains(transport),
        }
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        let own = self.count.load(Ordering::Relaxed);
        let has_others = self.has_others.load(Ordering::Relaxed);
        Ok(if has_others { own + self.others.bind(py).len()? } else { own })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        visit.call(&self.others)
    }
}

impl Clients {
    fn has(&self, transport: &Bound<'_, StreamTransport>) -> bool {
        transport.get().with(transport.py(), |state| {
            let membership = state.membership.as_ref();
            membership.is_some_and(|Membership(count)| Arc::ptr_eq(count, &self.count))
        })
    }
}
