//! The end of a native object, however deep the chain that ends with it.

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;

use pyo3::ffi;
use pyo3::prelude::*;

use super::object::{Contents, Object, Visitor, of};

/// `tp_traverse`.
pub(super) unsafe extern "C" fn traverse<T: Contents>(
    slf: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut c_void,
) -> c_int {
    let visitor = Visitor { visit, argument, during: PhantomData };
    let Some(object) = of::<T>(slf) else { return 0 };
    // SAFETY: a live object has a type.
    let class = unsafe { ffi::Py_TYPE(slf) };
    let visited = visitor
        .raw(class.cast())
        .and_then(|()| visitor.raw(object.dict))
        .and_then(|()| object.contents.visit(&visitor));
    visited.map_or_else(|stop| stop.0.get(), |()| 0)
}

/// `tp_clear`.
pub(super) unsafe extern "C" fn clear<T: Contents>(slf: *mut ffi::PyObject) -> c_int {
    if let Some(object) = of::<T>(slf) {
        object.contents.clear();
    }
    // SAFETY: the object is alive; the slot is emptied before what it held is given up.
    unsafe {
        let dict = &raw mut (*slf.cast::<Object<T>>()).dict;
        let held = dict.replace(std::ptr::null_mut());
        ffi::Py_XDECREF(held);
    }
    0
}

/// `tp_finalize`.
pub(super) unsafe extern "C" fn finalize<T: Contents>(slf: *mut ffi::PyObject) {
    // SAFETY: called with an instance, by an attached thread. An exception that is under way, as
    // while a frame unwinds, is put aside.
    unsafe {
        let py = Python::assume_attached();
        let under_way = PyErr::take(py);
        let object = Bound::from_borrowed_ptr(py, slf).cast_into_unchecked::<T>();
        if of::<T>(slf).is_some_and(|object| object.contents.wants_finalizer()) {
            let finalized = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                Python::attach(|_| T::finalize(&object));
            }));
            drop(finalized);
        }
        drop(object);
        if let Some(error) = under_way {
            error.restore(py);
        }
    }
}

/// `tp_dealloc`.
pub(super) unsafe extern "C" fn dealloc<T: Contents>(slf: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with an instance to which nobody refers any more. For an
    // instance of a Python subclass `subtype_dealloc` has called the finalizer and given up what
    // the subclass added, and gives up the type afterwards; the base slots are as for others.
    unsafe {
        let object = slf.cast::<Object<T>>();
        if T::FINALIZES
            && (*object).contents.wants_finalizer()
            && ffi::PyObject_CallFinalizerFromDealloc(slf) < 0
        {
            return; // it lives on
        }
        ffi::PyObject_GC_UnTrack(slf.cast());
        nested::bounded(slf, |slf| {
            let object = slf.cast::<Object<T>>();
            if !(*object).weak_references.is_null() {
                ffi::PyObject_ClearWeakRefs(slf);
            }
            std::ptr::drop_in_place(&raw mut (*object).contents);
            ffi::Py_XDECREF((*object).dict);
            let class = ffi::Py_TYPE(slf);
            let cell = T::cell();
            if class != cell.get() || !cell.free.keep(Python::assume_attached(), object) {
                let free = (*class).tp_free.unwrap_or(ffi::PyObject_GC_Del);
                free(slf.cast());
            }
            ffi::Py_DECREF(class.cast());
        });
    }
}

/// Deallocations within deallocations: beyond a depth the objects wait for the outermost, so that
/// a chain of any length ends without exhausting the stack.
mod nested {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use pyo3::ffi;

    /// Far from the end of the smallest thread's stack.
    const DEEPEST: u32 = 100;

    type Dealloc = unsafe fn(*mut ffi::PyObject);

    struct Waiting(*mut ffi::PyObject, Dealloc);

    // SAFETY: an object that nobody refers to may be deallocated by any attached thread.
    unsafe impl Send for Waiting {}

    /// How deep all threads are together, which errs on the safe side: a thread that comes late
    /// leaves its objects to one that is under way.
    static DEPTH: AtomicU32 = AtomicU32::new(0);
    static SOMEBODY_WAITS: AtomicBool = AtomicBool::new(false);
    static WAITING: Mutex<Vec<Waiting>> = Mutex::new(Vec::new());

    /// Runs `end` on `object`, now or soon.
    ///
    /// # Safety
    /// `end` may be run on `object`, once.
    #[inline]
    pub(super) unsafe fn bounded(object: *mut ffi::PyObject, end: Dealloc) {
        let depth = enter();
        if depth >= DEEPEST {
            leave();
            if let Ok(mut waiting) = WAITING.lock() {
                waiting.push(Waiting(object, end));
                SOMEBODY_WAITS.store(true, Ordering::SeqCst);
            }
            return;
        }
        // SAFETY: as the caller says.
        unsafe { end(object) };
        if depth == 0 && SOMEBODY_WAITS.load(Ordering::Relaxed) {
            run_waiting();
        }
        leave();
    }

    /// With a GIL nobody else changes the depth between the load and the store, which cost less
    /// than an atomic addition.
    #[cfg(not(Py_GIL_DISABLED))]
    #[inline]
    fn enter() -> u32 {
        let depth = DEPTH.load(Ordering::Relaxed);
        DEPTH.store(depth + 1, Ordering::Relaxed);
        depth
    }

    #[cfg(not(Py_GIL_DISABLED))]
    #[inline]
    fn leave() {
        DEPTH.store(DEPTH.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }

    #[cfg(Py_GIL_DISABLED)]
    fn enter() -> u32 {
        DEPTH.fetch_add(1, Ordering::SeqCst)
    }

    #[cfg(Py_GIL_DISABLED)]
    fn leave() {
        DEPTH.fetch_sub(1, Ordering::SeqCst);
    }

    #[cold]
    fn run_waiting() {
        // First, so that whoever comes to wait meanwhile is not forgotten.
        SOMEBODY_WAITS.store(false, Ordering::SeqCst);
        let next = || WAITING.lock().ok().and_then(|mut waiting| waiting.pop());
        while let Some(Waiting(object, end)) = next() {
            // SAFETY: it waits here because it has not been run.
            unsafe { end(object) };
        }
    }
}
