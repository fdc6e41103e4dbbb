//! What a program has put in the place of the loop's own methods: native shortcuts must not go
//! past it.

use std::sync::atomic::{AtomicU8, Ordering};

use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use super::LoopCore;
use crate::ffi::attribute;

/// Methods that native code would rather not call through their names.
#[derive(Clone, Copy)]
pub(crate) struct Overridable(u8);

impl Overridable {
    pub(crate) const CALL_SOON: Self = Self(1);
    pub(crate) const CALL_AT: Self = Self(2);
    pub(crate) const TIME: Self = Self(4);
    pub(crate) const CALL_LATER: Self = Self(8);

    const NAMES: [(&'static str, Self); 4] = [
        ("call_soon", Self::CALL_SOON),
        ("call_at", Self::CALL_AT),
        ("time", Self::TIME),
        ("call_later", Self::CALL_LATER),
    ];
}

impl std::ops::BitOr for Overridable {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Which of them a loop has overridden: by its class, or in the instance.
pub(super) struct Overrides(AtomicU8);

impl Overrides {
    /// What `class` overrides.
    ///
    /// # Errors
    /// What looking up its attributes raises.
    pub(super) fn of(class: &Bound<'_, PyType>) -> PyResult<Self> {
        let own = class.py().get_type::<LoopCore>();
        let mut overridden = 0;
        for (name, Overridable(bit)) in Overridable::NAMES {
            if !class.getattr(name)?.is(&own.getattr(name)?) {
                overridden |= bit;
            }
        }
        Ok(Self(AtomicU8::new(overridden)))
    }

    #[inline]
    fn any(&self, of: Overridable) -> bool {
        self.0.load(Ordering::Relaxed) & of.0 != 0
    }

    fn note(&self, name: &Bound<'_, PyString>) {
        for (known, Overridable(bit)) in Overridable::NAMES {
            if *name == *known {
                self.0.fetch_or(bit, Ordering::Relaxed);
            }
        }
    }
}

impl LoopCore {
    /// Whether one of these is not the loop's own.
    #[inline]
    pub(crate) fn is_overridden(&self, of: Overridable) -> bool {
        self.overrides.any(of)
    }
}

#[pymethods]
impl LoopCore {
    fn __setattr__(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyString>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        slf.get().overrides.note(name);
        attribute::set(slf, name, value)
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<()> {
        attribute::delete(slf, name)
    }
}
