//! What a queue holds, and which of its methods a subclass has in place of the class's own.

use std::collections::VecDeque;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use super::queue::Queue;
use crate::ffi::exception::raised_now;
use crate::ffi::native::object::{Stop, Visitor};
use crate::ffi::owned::Owned;

/// What is in a queue.
pub(super) enum Items {
    /// In the order in which they came.
    Own(VecDeque<Owned>),
    /// In what a subclass has set as `_queue`, or in a deque that it has asked for.
    Given(Owned),
}

impl Default for Items {
    fn default() -> Self {
        Self::Own(VecDeque::new())
    }
}

impl Items {
    pub(super) fn visit(&self, visitor: &Visitor<'_>) -> Result<(), Stop> {
        match self {
            Self::Own(items) => visitor.all(items),
            Self::Given(items) => visitor.visit(items),
        }
    }
}

/// Methods that others of the class call, and a subclass may have its own of.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Overridden(u8);

impl Overridden {
    pub(super) const INIT: Self = Self(1);
    pub(super) const GET: Self = Self(2);
    pub(super) const PUT: Self = Self(4);
    pub(super) const QSIZE: Self = Self(8);
    pub(super) const EMPTY: Self = Self(16);
    pub(super) const FULL: Self = Self(32);
    pub(super) const GET_NOWAIT: Self = Self(64);
    pub(super) const PUT_NOWAIT: Self = Self(128);

    const NAMES: [(&'static str, Self); 8] = [
        ("_init", Self::INIT),
        ("_get", Self::GET),
        ("_put", Self::PUT),
        ("qsize", Self::QSIZE),
        ("empty", Self::EMPTY),
        ("full", Self::FULL),
        ("get_nowait", Self::GET_NOWAIT),
        ("put_nowait", Self::PUT_NOWAIT),
    ];

    /// What the class of `queue` overrides.
    ///
    /// # Errors
    /// What looking up its attributes raises.
    pub(super) fn of(queue: &Bound<'_, Queue>) -> PyResult<Self> {
        if queue.as_any().is_exact_instance_of::<Queue>() {
            return Ok(Self::default());
        }
        let class: Bound<'_, PyType> = queue.as_any().get_type();
        let own = queue.py().get_type::<Queue>();
        let mut overridden = 0;
        for (name, Self(bit)) in Self::NAMES {
            if !class.getattr(name)?.is(&own.getattr(name)?) {
                overridden |= bit;
            }
        }
        Ok(Self(overridden))
    }

    #[inline]
    pub(super) fn has(self, Self(bit): Self) -> bool {
        self.0 & bit != 0
    }
}

/// Calls what a collection of a subclass's has for the purpose.
///
/// # Errors
/// What it raises.
pub(super) fn append(items: &Bound<'_, PyAny>, item: &Bound<'_, PyAny>) -> PyResult<()> {
    items.call_method1(intern!(items.py(), "append"), (item,)).map(drop)
}

/// As [`append`], for the item that came first.
///
/// # Errors
/// What it raises.
pub(super) fn take_first<'py>(items: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    items.call_method0(intern!(items.py(), "popleft"))
}

/// `asyncio.NAME()`, an exception.
#[cold]
pub(super) fn queue_error(py: Python<'_>, name: &str) -> PyErr {
    let module = py.import(intern!(py, "asyncio.queues"));
    match module.and_then(|module| module.getattr(PyString::new(py, name))?.call0()) {
        Ok(error) => raised_now(&error),
        Err(failed) => failed,
    }
}
