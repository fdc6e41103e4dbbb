//! Objects in a table, by number, without being kept alive by it.

use pyo3::PyClass;
use pyo3::pyclass::boolean_struct::True;

pub(crate) use table::{Place, Table};

/// A class whose objects can be in a table; `listed_by_number!` says so.
///
/// # Safety
/// `place` answers one field of the contents, which stays there until they are dropped.
pub(crate) unsafe trait ListedByNumber: PyClass<Frozen = True> + Sync {
    #[cfg_attr(Py_GIL_DISABLED, allow(dead_code))] // weak references have no use for it
    fn place(&self) -> &Place;
}

/// Declares that the objects of a class can be in a table, with the field that is their place.
macro_rules! listed_by_number {
    ($contents:ident, $place:ident) => {
        // SAFETY: it is that field; the class is frozen, so nobody moves it.
        #[allow(unsafe_code)]
        unsafe impl $crate::ffi::listed::ListedByNumber for $contents {
            fn place(&self) -> &$crate::ffi::listed::Place {
                &self.$place
            }
        }
    };
}
pub(crate) use listed_by_number;

#[cfg(not(Py_GIL_DISABLED))]
mod table {
    use std::cell::Cell;
    use std::ptr::NonNull;
    use std::sync::Arc;

    use pyo3::ffi;
    use pyo3::prelude::*;

    use super::ListedByNumber;
    use crate::ffi::cell::AttachedCell;

    /// An object, which takes itself out of its table when it ends.
    #[derive(Clone, Copy, PartialEq, Eq)]
    struct Living(NonNull<ffi::PyObject>);

    // SAFETY: it is an address; only attached threads follow it.
    unsafe impl Send for Living {}

    /// The living objects, by number.
    #[derive(Default)]
    pub(crate) struct Table {
        /// Lent out without anything else being run meanwhile: an object that ends finds it free.
        slots: AttachedCell<Vec<Option<Living>>>,
    }

    struct Listing {
        table: Arc<Table>,
        number: usize,
        object: Living,
    }

    /// An object's place in a table. It leaves the table when this is dropped.
    #[derive(Default)]
    pub(crate) struct Place(Cell<Option<Listing>>);

    // SAFETY: the cell is reached by `list` and `leave` alone. The thread is attached: the one is
    // given a token, the other is called by it and by deallocations. The GIL excludes every other
    // thread meanwhile, and neither runs anything else.
    unsafe impl Send for Place {}
    // SAFETY: as above.
    unsafe impl Sync for Place {}

    impl Place {
        fn leave(&self) {
            let Some(Listing { table, number, object }) = self.0.take() else { return };
            table.slots.visit(|slots| {
                if let Some(slot) = slots.get_mut(number)
                    && *slot == Some(object)
                {
                    *slot = None;
                }
            });
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            self.leave();
        }
    }

    impl Table {
        /// Lists an object instead of whoever has that number.
        pub(crate) fn list<T: ListedByNumber>(
            self: &Arc<Self>,
            number: usize,
            object: &Bound<'_, T>,
        ) {
            let Some(living) = NonNull::new(object.as_ptr()).map(Living) else { return };
            let place = object.get().place();
            place.leave();
            place.0.set(Some(Listing { table: Arc::clone(self), number, object: living }));
            self.slots.with(object.py(), |slots| {
                if number >= slots.len() {
                    slots.resize(number + 1, None);
                }
                slots[number] = Some(living);
            });
        }

        /// The object of that number, unless it is ending.
        pub(crate) fn get<'py>(&self, py: Python<'py>, number: usize) -> Option<Bound<'py, PyAny>> {
            let living = self.slots.with(py, |slots| slots.get(number).copied().flatten())?;
            bound(py, living)
        }

        /// All objects with their numbers, in their order, without those that are ending.
        pub(crate) fn objects<'py>(&self, py: Python<'py>) -> Vec<(usize, Bound<'py, PyAny>)> {
            let object =
                |(number, slot): (_, &Option<Living>)| Some((number, bound(py, (*slot)?)?));
            self.slots.with(py, |slots| slots.iter().enumerate().filter_map(object).collect())
        }
    }

    fn bound(py: Python<'_>, Living(object): Living) -> Option<Bound<'_, PyAny>> {
        // SAFETY: the object's contents have not been dropped, as it would have left the table, so
        // its memory is there. Who is being deallocated has no references left, and must not be
        // given new ones.
        unsafe {
            (ffi::Py_REFCNT(object.as_ptr()) > 0)
                .then(|| Bound::from_borrowed_ptr(py, object.as_ptr()))
        }
    }
}

/// Without a GIL an object could end while another thread finds it: there are weak references.
#[cfg(Py_GIL_DISABLED)]
mod table {
    use std::sync::Arc;

    use pyo3::prelude::*;
    use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};

    use super::ListedByNumber;
    use crate::ffi::cell::AttachedCell;

    /// The living objects, by number.
    #[derive(Default)]
    pub(crate) struct Table {
        slots: AttachedCell<Vec<Option<Py<PyWeakrefReference>>>>,
    }

    /// An object's place in a table, which asks for nothing.
    #[derive(Default)]
    pub(crate) struct Place(());

    impl Table {
        /// Lists an object instead of whoever has that number, if there is memory.
        pub(crate) fn list<T: ListedByNumber>(
            self: &Arc<Self>,
            number: usize,
            object: &Bound<'_, T>,
        ) {
            let reference = PyWeakrefReference::new(object.as_any()).ok().map(Bound::unbind);
            let replaced = self.slots.with(object.py(), |slots| {
                if number >= slots.len() {
                    slots.resize_with(number + 1, || None);
                }
                std::mem::replace(&mut slots[number], reference)
            });
            drop(replaced);
        }

        /// The object of that number, if it lives.
        pub(crate) fn get<'py>(&self, py: Python<'py>, number: usize) -> Option<Bound<'py, PyAny>> {
            let reference = self.slots.with(py, |slots| {
                slots.get(number)?.as_ref().map(|reference| reference.clone_ref(py))
            })?;
            reference.bind(py).upgrade()
        }

        /// All living objects with their numbers, in their order.
        pub(crate) fn objects<'py>(&self, py: Python<'py>) -> Vec<(usize, Bound<'py, PyAny>)> {
            let len = self.slots.with(py, |slots| slots.len());
            (0..len).filter_map(|number| Some((number, self.get(py, number)?))).collect()
        }
    }
}
