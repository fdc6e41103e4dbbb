//! The arguments of a call, as the interpreter's vectorcall convention passes them.

use std::ffi::CStr;

use pyo3::Borrowed;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

/// The arguments of one call: borrowed from the caller's stack.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a, 'py> {
    py: Python<'py>,
    /// Positional arguments, then those of the keywords.
    all: &'a [*mut ffi::PyObject],
    positional: usize,
    names: Option<Borrowed<'a, 'py, PyTuple>>,
}

/// What a function takes: names for its positional parameters, whether any number may follow, and
/// its keyword-only parameters.
pub(crate) struct Signature<const POSITIONAL: usize, const KEYWORDS: usize> {
    pub(crate) function: &'static str,
    pub(crate) positional: [&'static CStr; POSITIONAL],
    /// How many of them have no default.
    pub(crate) required: usize,
    pub(crate) rest: bool,
    pub(crate) keywords: [&'static CStr; KEYWORDS],
}

/// One argument, if it was given.
pub(crate) type Given<'a, 'py> = Option<Borrowed<'a, 'py, PyAny>>;

/// Arguments sorted by parameter.
pub(crate) struct Sorted<'a, 'py, const POSITIONAL: usize, const KEYWORDS: usize> {
    pub(crate) positional: [Given<'a, 'py>; POSITIONAL],
    pub(crate) rest: Rest<'a, 'py>,
    pub(crate) keywords: [Given<'a, 'py>; KEYWORDS],
}

/// The arguments for `*args`.
#[derive(Clone, Copy)]
pub(crate) struct Rest<'a, 'py> {
    py: Python<'py>,
    all: &'a [*mut ffi::PyObject],
}

impl<'a, 'py> Call<'a, 'py> {
    /// # Safety
    /// `all` points to `count` objects and, if `names` is a tuple of str and not null, as many
    /// more as that has items; all stay alive for `'a`.
    #[inline(always)]
    pub(crate) unsafe fn from_vector(
        py: Python<'py>,
        all: *const *mut ffi::PyObject,
        count: ffi::Py_ssize_t,
        names: *mut ffi::PyObject,
    ) -> Self {
        let positional = count.unsigned_abs();
        // SAFETY: as the caller says.
        let names: Option<Borrowed<'a, 'py, PyTuple>> = unsafe {
            if names.is_null() {
                None
            } else {
                Some(Borrowed::from_ptr(py, names).cast_unchecked())
            }
        };
        let total = positional + names.as_ref().map_or(0, |names| names.len());
        let all = if total == 0 {
            &[]
        } else {
            // SAFETY: as the caller says.
            unsafe { std::slice::from_raw_parts(all, total) }
        };
        Self { py, all, positional, names }
    }

    /// Sorts the arguments by parameter.
    ///
    /// # Errors
    /// `TypeError` if one is missing, given twice, or not a parameter.
    #[inline(always)]
    pub(crate) fn sorted<const P: usize, const K: usize>(
        self,
        signature: &Signature<P, K>,
    ) -> PyResult<Sorted<'a, 'py, P, K>> {
        let (first, rest) = self.all[..self.positional].split_at(self.positional.min(P));
        let mut sorted = Sorted {
            positional: [None; P],
            rest: Rest { py: self.py, all: rest },
            keywords: [None; K],
        };
        for (slot, object) in sorted.positional.iter_mut().zip(first) {
            *slot = Some(self.borrow(*object));
        }
        if let Some(names) = self.names {
            self.sort_keywords(signature, &names, &mut sorted)?;
        }
        if !rest.is_empty() && !signature.rest {
            return Err(signature.too_many(self.positional));
        }
        if sorted.positional[..signature.required].iter().any(Option::is_none) {
            return Err(signature.missing(&sorted.positional));
        }
        Ok(sorted)
    }

    fn sort_keywords<const P: usize, const K: usize>(
        &self,
        signature: &Signature<P, K>,
        names: &Borrowed<'a, 'py, PyTuple>,
        sorted: &mut Sorted<'a, 'py, P, K>,
    ) -> PyResult<()> {
        for (name, object) in names.iter_borrowed().zip(&self.all[self.positional..]) {
            // Mostly of ASCII alone, whose bytes are at hand.
            let text = name.cast::<PyString>()?;
            let text = text.to_str().unwrap_or_default();
            let is = |wanted: &&CStr| wanted.to_bytes() == text.as_bytes();
            let slot = if let Some(at) = signature.keywords.iter().position(is) {
                &mut sorted.keywords[at]
            } else if let Some(at) = signature.positional.iter().position(is) {
                &mut sorted.positional[at]
            } else {
                return Err(PyTypeError::new_err(format!(
                    "{}() got an unexpected keyword argument '{}'",
                    signature.function, *name
                )));
            };
            if slot.is_some() {
                return Err(PyTypeError::new_err(format!(
                    "{}() got multiple values for argument '{}'",
                    signature.function, *name
                )));
            }
            *slot = Some(self.borrow(*object));
        }
        Ok(())
    }

    /// The arguments as a tuple and a dict, for a function that takes them so.
    pub(crate) fn unpacked(
        &self,
    ) -> PyResult<(Bound<'py, PyTuple>, Option<Bound<'py, pyo3::types::PyDict>>)> {
        let positional = Rest { py: self.py, all: &self.all[..self.positional] }.tuple()?;
        let Some(names) = self.names else { return Ok((positional, None)) };
        let keywords = pyo3::types::PyDict::new(self.py);
        for (name, object) in names.iter_borrowed().zip(&self.all[self.positional..]) {
            keywords.set_item(name, self.borrow(*object))?;
        }
        Ok((positional, Some(keywords)))
    }

    #[inline]
    fn borrow(&self, object: *mut ffi::PyObject) -> Borrowed<'a, 'py, PyAny> {
        // SAFETY: the arguments of a call are alive while it lasts, see `from_vector`.
        unsafe { Borrowed::from_ptr(self.py, object) }
    }
}

impl<const P: usize, const K: usize> Signature<P, K> {
    #[cold]
    fn missing(&self, given: &[Given<'_, '_>; P]) -> PyErr {
        let missing: Vec<String> = self.positional[..self.required]
            .iter()
            .zip(given)
            .filter(|(_, given)| given.is_none())
            .map(|(name, _)| format!("'{}'", name.to_string_lossy()))
            .collect();
        PyTypeError::new_err(format!(
            "{}() missing {} required positional argument{}: {}",
            self.function,
            missing.len(),
            if missing.len() == 1 { "" } else { "s" },
            missing.join(" and ")
        ))
    }

    #[cold]
    fn too_many(&self, given: usize) -> PyErr {
        PyTypeError::new_err(format!(
            "{}() takes {} positional argument{} but {given} were given",
            self.function,
            P + 1,
            if P == 0 { "" } else { "s" }
        ))
    }
}

impl<'py> Rest<'_, 'py> {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The only argument.
    #[inline]
    pub(crate) fn only(&self) -> Option<Bound<'py, PyAny>> {
        match *self.all {
            // SAFETY: the arguments of a call are alive while it lasts.
            [object] => Some(unsafe { Bound::from_borrowed_ptr(self.py, object) }),
            _ => None,
        }
    }

    pub(crate) fn tuple(&self) -> PyResult<Bound<'py, PyTuple>> {
        let items = self.all.iter().map(|object| {
            // SAFETY: the arguments of a call are alive while it lasts.
            unsafe { Borrowed::from_ptr(self.py, *object) }
        });
        PyTuple::new(self.py, items)
    }
}
