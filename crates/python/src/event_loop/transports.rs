//! Which transport of a socket uses which descriptor: what asyncio has a weak dictionary for.

use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyWeakrefMethods, PyWeakrefReference};

use super::LoopCore;
use crate::ffi::cell::AttachedCell;
use crate::ffi::listed::Table;
use crate::transport::base::BaseTransport;

/// The loop's transports of sockets, by descriptor. None is kept alive.
#[derive(Default)]
pub(crate) struct Transports {
    /// Rondel's own: a weak dictionary would take longer to enter each than all else that making
    /// it takes, and more memory than it does itself.
    own: Arc<Table>,
    /// What Python code has set instead of those, asyncio's own transports for example; `None`
    /// where it has removed one. Hardly ever there is any.
    replaced: AttachedCell<HashMap<RawFd, Option<Py<PyWeakrefReference>>>>,
}

impl Transports {
    /// Enters a new transport of Rondel's.
    pub(crate) fn enter(&self, fd: RawFd, transport: &Bound<'_, BaseTransport>) {
        let Ok(number) = usize::try_from(fd) else { return };
        self.own.list(number, transport);
        drop(self.replaced.with(transport.py(), |replaced| replaced.remove(&fd)));
    }

    /// The transport that uses the descriptor, or has used it last.
    pub(crate) fn get<'py>(&self, py: Python<'py>, fd: RawFd) -> Option<Bound<'py, PyAny>> {
        let replaced = self.replaced.with(py, |replaced| match replaced.get(&fd) {
            Some(Some(reference)) => Some(Some(reference.clone_ref(py))),
            Some(None) => Some(None),
            None => None,
        });
        match replaced {
            Some(reference) => reference?.bind(py).upgrade(),
            None => self.own_one(py, fd),
        }
    }

    /// Every transport of Rondel's.
    pub(crate) fn own<'py>(&self, py: Python<'py>) -> impl Iterator<Item = Bound<'py, PyAny>> {
        self.own.objects(py).into_iter().map(|(_, transport)| transport)
    }

    fn own_one<'py>(&self, py: Python<'py>, fd: RawFd) -> Option<Bound<'py, PyAny>> {
        self.own.get(py, usize::try_from(fd).ok()?)
    }

    /// Has another transport than Rondel's own found there, or none.
    fn set(&self, py: Python<'_>, fd: RawFd, transport: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let own = self.own_one(py, fd);
        let as_it_is = match (&own, transport) {
            (Some(own), Some(transport)) => own.is(transport),
            (own, transport) => own.is_none() && transport.is_none(),
        };
        let reference = transport.map(PyWeakrefReference::new).transpose()?.map(Bound::unbind);
        drop(self.replaced.with(py, |replaced| {
            if as_it_is { replaced.remove(&fd) } else { replaced.insert(fd, reference) }
        }));
        Ok(())
    }
}

#[pymethods]
impl LoopCore {
    /// The transport of a socket that uses a descriptor, or has used it last; None if there is none.
    fn _transport_of<'py>(&self, fd: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        self.transports().get(fd.py(), fd.extract().ok()?)
    }

    /// Has another one found there, or none.
    fn _set_transport_of(
        &self,
        py: Python<'_>,
        fd: RawFd,
        transport: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.transports().set(py, fd, transport)
    }

    /// Every transport of a socket, by descriptor.
    fn _transports_by_descriptor<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let transports = self.transports();
        let mut descriptors: Vec<RawFd> =
            transports.replaced.with(py, |replaced| replaced.keys().copied().collect());
        let own = transports.own.objects(py);
        descriptors.extend(own.into_iter().filter_map(|(number, _)| RawFd::try_from(number).ok()));
        let found = PyDict::new(py);
        for fd in descriptors {
            if let Some(transport) = transports.get(py, fd) {
                found.set_item(fd, transport)?;
            }
        }
        Ok(found)
    }
}
