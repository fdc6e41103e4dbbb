//! The layout of a native object, and how one comes into being.

use std::ffi::{CStr, c_int, c_void};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::PyTypeInfo;
use pyo3::ffi;
use pyo3::prelude::*;

use super::free_list::FreeList;
use crate::ffi::owned::Owned;

/// A native object: the head that every Python object has, and the class's own struct.
#[repr(C)]
pub(crate) struct Object<T> {
    pub(super) head: ffi::PyObject,
    pub(super) weak_references: *mut ffi::PyObject,
    /// Null until an attribute is set; stays null for classes without a `__dict__`.
    pub(super) dict: *mut ffi::PyObject,
    pub(super) contents: T,
}

/// A struct that has a Python type whose instances are `Object`s of it; `native_class!` says so.
///
/// # Safety
/// `PyTypeInfo` answers what is in `cell`, which `class::build` fills before any instance exists.
/// The contents of a subclass are `#[repr(C)]` and begin with those of the base.
pub(crate) unsafe trait NativeClass: PyTypeInfo + Send + Sync + 'static {
    /// The class as `module.name`.
    const NAME: &'static CStr;

    /// Holds the type.
    fn cell() -> &'static TypeCell;
}

/// What the contents of a native object do for it.
pub(crate) trait Contents: NativeClass {
    /// Shows the collector every reference that the contents hold.
    ///
    /// # Errors
    /// The collector's, to be passed on.
    fn visit(&self, visitor: &Visitor<'_>) -> Result<(), Stop>;

    /// Gives up every reference that can be part of a cycle.
    fn clear(&self);

    /// What `__new__` begins with, for classes that Python code can make instances of.
    fn blank() -> Option<Self> {
        None
    }

    /// Whether there are last words at all.
    const FINALIZES: bool = false;

    /// Whether `finalize` has anything to do; asked without the object's being kept alive.
    #[inline]
    fn wants_finalizer(&self) -> bool {
        false
    }

    /// The last words of an object, before it is deallocated or collected.
    fn finalize(_slf: &Bound<'_, Self>) {}
}

/// The static that holds the type of one class, and the memory of objects that are gone.
pub(crate) struct TypeCell {
    class: AtomicPtr<ffi::PyTypeObject>,
    pub(super) free: FreeList,
}

impl TypeCell {
    pub(crate) const fn new() -> Self {
        Self { class: AtomicPtr::new(std::ptr::null_mut()), free: FreeList::new() }
    }

    #[inline]
    pub(crate) fn get(&self) -> *mut ffi::PyTypeObject {
        self.class.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, class: *mut ffi::PyTypeObject) {
        self.class.store(class, Ordering::Release);
    }
}

/// Declares that a struct is the contents of a Python class, or (`Struct: Base`) of a subclass of
/// one, in whose contents it begins.
macro_rules! native_class {
    ($contents:ident, $name:literal) => {
        // SAFETY: the type is the one in the cell, and `class::build` puts one there whose layout
        // is that of this class.
        #[allow(unsafe_code)]
        unsafe impl pyo3::PyTypeInfo for $contents {
            #[inline]
            fn type_object_raw(_py: pyo3::Python<'_>) -> *mut pyo3::ffi::PyTypeObject {
                <Self as $crate::ffi::native::object::NativeClass>::cell().get()
            }
        }

        // SAFETY: as above.
        #[allow(unsafe_code)]
        unsafe impl $crate::ffi::native::object::NativeClass for $contents {
            const NAME: &'static std::ffi::CStr = $name;

            #[inline]
            fn cell() -> &'static $crate::ffi::native::object::TypeCell {
                static CELL: $crate::ffi::native::object::TypeCell =
                    $crate::ffi::native::object::TypeCell::new();
                &CELL
            }
        }
    };
    ($contents:ident: $base:ident, $name:literal) => {
        $crate::ffi::native::object::native_class!($contents, $name);

        // SAFETY: the subclass begins with its base, which is asserted here.
        #[allow(unsafe_code)]
        unsafe impl $crate::ffi::native::object::Subclass for $contents {
            type Base = $base;
        }
        const _: () = assert!(std::mem::offset_of!($contents, base) == 0);
    };
}
pub(crate) use native_class;

/// A class whose instances are instances of another native class, too.
///
/// # Safety
/// The type is a subclass of the base's, and the contents begin with the base's.
pub(crate) unsafe trait Subclass: NativeClass {
    type Base: NativeClass;
}

/// An instance of a subclass, as one of the base.
#[inline]
pub(crate) fn as_base<'a, 'py, T: Subclass>(object: &'a Bound<'py, T>) -> &'a Bound<'py, T::Base> {
    // SAFETY: by `Subclass` it is one.
    unsafe { object.cast_unchecked() }
}

/// Access to the contents of a native object.
pub(crate) trait Native<T> {
    fn contents(&self) -> &T;
}

impl<T: Contents> Native<T> for Bound<'_, T> {
    #[inline]
    fn contents(&self) -> &T {
        // SAFETY: by `Contents`, an instance of the class is an `Object<T>`; its contents are
        // initialised before anybody gets a reference, and live as long as it.
        unsafe { &(*self.as_ptr().cast::<Object<T>>()).contents }
    }
}

impl<T: Contents> Native<T> for Owned<T> {
    #[inline]
    fn contents(&self) -> &T {
        // SAFETY: as for `Bound`.
        unsafe { &(*self.as_ptr().cast::<Object<T>>()).contents }
    }
}

/// A new object of the class itself, with `contents`.
///
/// # Errors
/// `MemoryError`.
#[inline(always)]
pub(crate) fn create<T: Contents>(py: Python<'_>, contents: T) -> PyResult<Bound<'_, T>> {
    Ok(vacant(py)?.fill(contents))
}

/// An object that has no contents yet, so that nobody may see it.
///
/// Where it counts, this is made before the contents are put together: they are then written field
/// by field where they stay, and not elsewhere first, from where they would be read before they
/// have been written there in full. If they cannot be made, dropping this gives the memory back.
pub(crate) struct Vacant<'py, T: Contents> {
    py: Python<'py>,
    object: NonNull<Object<T>>,
}

/// A new object of the class itself, without contents.
///
/// # Errors
/// `MemoryError`.
#[inline(always)]
pub(crate) fn vacant<T: Contents>(py: Python<'_>) -> PyResult<Vacant<'_, T>> {
    let class = T::type_object_raw(py);
    // SAFETY: the type has the GC flag, a fixed size, and no fields in front of the object, so
    // this allocates all of it, or makes an object anew of one of the same class.
    let object: *mut Object<T> = unsafe {
        match T::cell().free.take::<T>(py) {
            Some(object) => ffi::PyObject_Init(object.as_ptr().cast(), class).cast(),
            None => ffi::PyObject_GC_New(class),
        }
    };
    match NonNull::new(object) {
        Some(object) => Ok(Vacant { py, object }),
        None => Err(PyErr::fetch(py)),
    }
}

impl<'py, T: Contents> Vacant<'py, T> {
    /// The object with its contents.
    #[inline(always)]
    pub(crate) fn fill(self, contents: T) -> Bound<'py, T> {
        let object = self.fill_hidden(contents);
        // SAFETY: the object is complete, and the collector has not been told of it.
        unsafe { ffi::PyObject_GC_Track(object.as_ptr().cast()) };
        object
    }

    /// As [`fill`](Self::fill), but hidden from the cyclic collector, until [`show`]n to it.
    ///
    /// What is hidden is never collected, and neither is what it refers to. So it may be hidden
    /// while its owner is known to be alive and to keep it; that saves the collector its visits, of
    /// which thousands of queued callbacks cost as much as their calls.
    #[inline(always)]
    pub(crate) fn fill_hidden(self, contents: T) -> Bound<'py, T> {
        let (py, object) = (self.py, self.object.as_ptr());
        std::mem::forget(self);
        // SAFETY: this has the only reference to the object, and hands it over; everything behind
        // the head is written before.
        unsafe {
            (&raw mut (*object).weak_references).write(std::ptr::null_mut());
            (&raw mut (*object).dict).write(std::ptr::null_mut());
            (&raw mut (*object).contents).write(contents);
            Bound::from_owned_ptr(py, object.cast()).cast_into_unchecked()
        }
    }
}

impl<T: Contents> Drop for Vacant<'_, T> {
    #[cold]
    fn drop(&mut self) {
        // SAFETY: as `dealloc` ends: nobody else knows the object, which has a type, to which it
        // has a reference, and no contents; the collector has not been told of it.
        unsafe {
            let class = ffi::Py_TYPE(self.object.as_ptr().cast());
            ffi::PyObject_GC_Del(self.object.as_ptr().cast());
            ffi::Py_DECREF(class.cast());
        }
    }
}

/// Shows an object to the collector, unless it is shown.
#[inline]
pub(crate) fn show<T: Contents>(object: &Bound<'_, T>) {
    // SAFETY: the thread is attached; a native object is complete as soon as there is a reference
    // to it, and its class has the collector's head.
    unsafe {
        if ffi::PyObject_GC_IsTracked(object.as_ptr()) == 0 {
            ffi::PyObject_GC_Track(object.as_ptr().cast());
        }
    }
}

/// Whether somebody else has a reference to `object`.
#[inline]
pub(crate) fn is_shared<T>(object: &Bound<'_, T>) -> bool {
    // SAFETY: the thread is attached and the object alive.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) > 1 }
}

/// The collector during a traversal.
pub(crate) struct Visitor<'a> {
    pub(super) visit: ffi::visitproc,
    pub(super) argument: *mut c_void,
    pub(super) during: PhantomData<&'a ()>,
}

/// The collector wants no more.
pub(crate) struct Stop(pub(super) NonZeroResult);
pub(super) type NonZeroResult = std::num::NonZero<c_int>;

impl Visitor<'_> {
    pub(crate) fn visit<U>(&self, owned: &Owned<U>) -> Result<(), Stop> {
        // SAFETY: the object is alive, and the function and its argument are what the collector
        // passed to the traversal that is under way.
        self.result(unsafe { (self.visit)(owned.as_ptr(), self.argument) })
    }

    pub(crate) fn all<'a, U: 'a>(
        &self,
        owned: impl IntoIterator<Item = &'a Owned<U>>,
    ) -> Result<(), Stop> {
        owned.into_iter().try_for_each(|owned| self.visit(owned))
    }

    pub(super) fn raw(&self, object: *mut ffi::PyObject) -> Result<(), Stop> {
        if object.is_null() {
            return Ok(());
        }
        // SAFETY: as above.
        self.result(unsafe { (self.visit)(object, self.argument) })
    }

    #[inline]
    fn result(&self, result: c_int) -> Result<(), Stop> {
        match NonZeroResult::new(result) {
            None => Ok(()),
            Some(stop) => Err(Stop(stop)),
        }
    }
}

/// Borrowed, as the collector sees it.
pub(super) fn of<'a, T>(object: *mut ffi::PyObject) -> Option<&'a Object<T>> {
    // SAFETY: called by slots of the class, with its instances, which outlive the call.
    NonNull::new(object.cast::<Object<T>>()).map(|object| unsafe { object.as_ref() })
}
