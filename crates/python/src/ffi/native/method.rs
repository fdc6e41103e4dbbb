//! Methods and attributes of native classes: from the interpreter's calling conventions to safe
//! functions.

use std::ffi::{CStr, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::ffi;
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::{Borrowed, PyTypeCheck};

use super::arguments::Call;

/// What a method returns.
pub(crate) type Returned<'py> = PyResult<Bound<'py, PyAny>>;

/// One entry of a class's table of methods.
#[derive(Clone, Copy)]
pub(crate) struct Method(pub(crate) ffi::PyMethodDef);

// SAFETY: it points to functions and literals.
unsafe impl Send for Method {}
// SAFETY: as for `Send`, and nobody writes to it.
unsafe impl Sync for Method {}

impl Method {
    pub(crate) const fn without_arguments(
        name: &'static CStr,
        function: ffi::PyCFunction,
        doc: &'static CStr,
    ) -> Self {
        Self::new(name, ffi::PyMethodDefPointer { PyCFunction: function }, ffi::METH_NOARGS, doc)
    }

    pub(crate) const fn with_object(
        name: &'static CStr,
        function: ffi::PyCFunction,
        doc: &'static CStr,
    ) -> Self {
        Self::new(name, ffi::PyMethodDefPointer { PyCFunction: function }, ffi::METH_O, doc)
    }

    pub(crate) const fn with_arguments(
        name: &'static CStr,
        function: ffi::PyCFunctionFastWithKeywords,
        doc: &'static CStr,
    ) -> Self {
        let function = ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: function };
        Self::new(name, function, ffi::METH_FASTCALL | ffi::METH_KEYWORDS, doc)
    }

    const fn new(
        name: &'static CStr,
        function: ffi::PyMethodDefPointer,
        flags: c_int,
        doc: &'static CStr,
    ) -> Self {
        Self(ffi::PyMethodDef {
            ml_name: name.as_ptr(),
            ml_meth: function,
            ml_flags: flags,
            ml_doc: doc.as_ptr(),
        })
    }

    /// The same, called on the class.
    pub(crate) const fn of_class(mut self) -> Self {
        self.0.ml_flags |= ffi::METH_CLASS;
        self
    }
}

/// A method without arguments: `fn(&Bound<Class>) -> Returned`.
macro_rules! without_arguments {
    ($class:ty, $name:literal, $function:path, $doc:literal) => {{
        #[allow(unsafe_code)]
        unsafe extern "C" fn native_call(
            slf: *mut pyo3::ffi::PyObject,
            _: *mut pyo3::ffi::PyObject,
        ) -> *mut pyo3::ffi::PyObject {
            // SAFETY: the interpreter calls this, attached, on an instance of the class.
            unsafe { $crate::ffi::native::method::on_object::<$class>(slf, |slf| $function(slf)) }
        }
        $crate::ffi::native::method::Method::without_arguments($name, native_call, $doc)
    }};
}
pub(crate) use without_arguments;

/// A method of one positional argument: `fn(&Bound<Class>, &Bound<PyAny>) -> Returned`.
macro_rules! with_object {
    ($class:ty, $name:literal, $function:path, $doc:literal) => {{
        #[allow(unsafe_code)]
        unsafe extern "C" fn native_call(
            slf: *mut pyo3::ffi::PyObject,
            argument: *mut pyo3::ffi::PyObject,
        ) -> *mut pyo3::ffi::PyObject {
            // SAFETY: the interpreter calls this, attached, on an instance of the class.
            unsafe {
                $crate::ffi::native::method::on_object::<$class>(slf, |slf| {
                    $crate::ffi::native::method::borrowing(slf.py(), argument, |argument| {
                        $function(slf, argument)
                    })
                })
            }
        }
        $crate::ffi::native::method::Method::with_object($name, native_call, $doc)
    }};
}
pub(crate) use with_object;

/// A method of any arguments: `fn(&Bound<Class>, Call) -> Returned`.
macro_rules! with_arguments {
    ($class:ty, $name:literal, $function:path, $doc:literal) => {{
        #[allow(unsafe_code)]
        unsafe extern "C" fn native_call(
            slf: *mut pyo3::ffi::PyObject,
            arguments: *const *mut pyo3::ffi::PyObject,
            count: pyo3::ffi::Py_ssize_t,
            names: *mut pyo3::ffi::PyObject,
        ) -> *mut pyo3::ffi::PyObject {
            // SAFETY: the interpreter calls this, attached, on an instance of the class, with an
            // array and a tuple as METH_FASTCALL | METH_KEYWORDS has them.
            unsafe {
                $crate::ffi::native::method::on_object::<$class>(slf, |slf| {
                    let call = $crate::ffi::native::arguments::Call::from_vector(
                        slf.py(),
                        arguments,
                        count,
                        names,
                    );
                    $function(slf, call)
                })
            }
        }
        $crate::ffi::native::method::Method::with_arguments($name, native_call, $doc)
    }};
}
pub(crate) use with_arguments;

/// A class method of one positional argument: `fn(&Bound<PyType>, &Bound<PyAny>) -> Returned`.
macro_rules! class_method {
    ($name:literal, $function:path, $doc:literal) => {
        $crate::ffi::native::method::with_object!(pyo3::types::PyType, $name, $function, $doc)
            .of_class()
    };
}
pub(crate) use class_method;

/// `method`, bound to `object`: a builtin function whose `__self__` is the object.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn bound<'py, T>(object: &Bound<'py, T>, method: &'static Method) -> Returned<'py> {
    // SAFETY: the definition lives forever, and nobody writes to it.
    unsafe {
        let definition = std::ptr::from_ref(&method.0).cast_mut();
        let function = ffi::PyCFunction_NewEx(definition, object.as_ptr(), std::ptr::null_mut());
        Bound::from_owned_ptr_or_err(object.py(), function)
    }
}

/// Runs a method's function on its object.
///
/// # Safety
/// The thread is attached and `slf` is an instance of the class.
#[inline(always)]
pub(crate) unsafe fn on_object<T: PyTypeCheck>(
    slf: *mut ffi::PyObject,
    f: impl for<'a, 'py> FnOnce(&'a Bound<'py, T>) -> Returned<'py>,
) -> *mut ffi::PyObject {
    // SAFETY: as the caller says.
    unsafe { on_object_or_end::<T>(slf, |slf| f(slf).map(Some)) }
}

/// As [`on_object`]; `None` is null without an exception, or with one that is set already.
///
/// # Safety
/// As for [`on_object`].
#[inline(always)]
pub(crate) unsafe fn on_object_or_end<T: PyTypeCheck>(
    slf: *mut ffi::PyObject,
    f: impl for<'a, 'py> FnOnce(&'a Bound<'py, T>) -> PyResult<Option<Bound<'py, PyAny>>>,
) -> *mut ffi::PyObject {
    // SAFETY: as the caller says; the interpreter keeps the object alive during the call.
    let (py, slf) = unsafe {
        let py = Python::assume_attached();
        (py, Borrowed::from_ptr(py, slf).cast_unchecked::<T>())
    };
    match catch_unwind(AssertUnwindSafe(|| f(&slf))) {
        Ok(Ok(object)) => object.map_or(std::ptr::null_mut(), Bound::into_ptr),
        Ok(Err(error)) => {
            error.restore(py);
            std::ptr::null_mut()
        }
        Err(panic) => {
            panicked(py, &*panic);
            std::ptr::null_mut()
        }
    }
}

/// As [`on_object`], for functions that answer with a status.
///
/// # Safety
/// The thread is attached and `slf` is an instance of the class.
pub(crate) unsafe fn status_on_object<T: PyTypeCheck>(
    slf: *mut ffi::PyObject,
    f: impl for<'a, 'py> FnOnce(&'a Bound<'py, T>) -> PyResult<()>,
) -> c_int {
    // SAFETY: as the caller says.
    let done = unsafe { on_object::<T>(slf, |slf| f(slf).map(|()| none(slf.py()))) };
    if done.is_null() {
        return -1;
    }
    // SAFETY: it is the reference that was just returned.
    unsafe { ffi::Py_DECREF(done) };
    0
}

/// Lends an argument to `f`.
///
/// # Safety
/// `object` is alive during the call.
#[inline]
pub(crate) unsafe fn borrowing<'py, R>(
    py: Python<'py>,
    object: *mut ffi::PyObject,
    f: impl FnOnce(&Bound<'py, PyAny>) -> R,
) -> R {
    // SAFETY: as the caller says.
    let object = unsafe { Borrowed::from_ptr(py, object) };
    f(&object)
}

#[cold]
pub(super) fn panicked(py: Python<'_>, panic: &(dyn std::any::Any + Send)) {
    let message = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|message| (*message).to_owned()))
        .unwrap_or_else(|| "panic from Rust code".to_owned());
    PanicException::new_err((message,)).restore(py);
}

pub(crate) fn none(py: Python<'_>) -> Bound<'_, PyAny> {
    py.None().into_bound(py)
}

pub(crate) fn boolean(py: Python<'_>, value: bool) -> Bound<'_, PyAny> {
    pyo3::types::PyBool::new(py, value).to_owned().into_any()
}

/// One entry of a class's table of attributes.
#[derive(Clone, Copy)]
pub(crate) struct Attribute(pub(crate) ffi::PyGetSetDef);

// SAFETY: as for `Method`.
unsafe impl Send for Attribute {}
// SAFETY: as for `Method`.
unsafe impl Sync for Attribute {}

impl Attribute {
    pub(crate) const fn new(
        name: &'static CStr,
        get: ffi::getter,
        set: Option<ffi::setter>,
    ) -> Self {
        let doc = std::ptr::null();
        Self(ffi::PyGetSetDef {
            name: name.as_ptr(),
            get: Some(get),
            set,
            doc,
            closure: std::ptr::null_mut::<c_void>(),
        })
    }
}

/// An attribute: `fn(&Bound<Class>) -> Returned` reads it and, if there is a second function,
/// `fn(&Bound<Class>, Option<&Bound<PyAny>>) -> PyResult<()>` sets or (`None`) deletes it.
macro_rules! attribute {
    (@get $class:ty, $get:path) => {{
        #[allow(unsafe_code)]
        unsafe extern "C" fn native_get(
            slf: *mut pyo3::ffi::PyObject,
            _: *mut std::ffi::c_void,
        ) -> *mut pyo3::ffi::PyObject {
            // SAFETY: the interpreter calls this, attached, on an instance of the class.
            unsafe { $crate::ffi::native::method::on_object::<$class>(slf, |slf| $get(slf)) }
        }
        native_get
    }};
    ($class:ty, $name:literal, $get:path) => {{
        let get = $crate::ffi::native::method::attribute!(@get $class, $get);
        $crate::ffi::native::method::Attribute::new($name, get, None)
    }};
    ($class:ty, $name:literal, $get:path, $set:path) => {{
        #[allow(unsafe_code)]
        unsafe extern "C" fn native_set(
            slf: *mut pyo3::ffi::PyObject,
            value: *mut pyo3::ffi::PyObject,
            _: *mut std::ffi::c_void,
        ) -> std::ffi::c_int {
            // SAFETY: the interpreter calls this, attached, on an instance of the class, with the
            // new value or null.
            unsafe {
                $crate::ffi::native::method::status_on_object::<$class>(slf, |slf| {
                    if value.is_null() {
                        return $set(slf, None);
                    }
                    $crate::ffi::native::method::borrowing(slf.py(), value, |value| {
                        $set(slf, Some(value))
                    })
                })
            }
        }
        let get = $crate::ffi::native::method::attribute!(@get $class, $get);
        $crate::ffi::native::method::Attribute::new($name, get, Some(native_set))
    }};
}
pub(crate) use attribute;

/// The `Call` of `tp_init` and `tp_new`, which are given a tuple and a dict.
pub(crate) fn with_tuple<'py, R>(
    arguments: &Bound<'py, pyo3::types::PyTuple>,
    keywords: Option<&Bound<'py, pyo3::types::PyDict>>,
    f: impl FnOnce(Call<'_, 'py>) -> PyResult<R>,
) -> PyResult<R> {
    let py = arguments.py();
    let mut all: Vec<*mut ffi::PyObject> =
        arguments.iter_borrowed().map(Borrowed::as_ptr).collect();
    let mut names = Vec::new();
    if let Some(keywords) = keywords {
        for (name, value) in keywords.iter() {
            // The dict keeps it alive.
            all.push(value.as_ptr());
            names.push(name);
        }
    }
    let names = pyo3::types::PyTuple::new(py, names)?;
    let count = all.len() - names.len();
    // SAFETY: the tuple and the dict, which outlive the call, keep what the array points to alive.
    let call = unsafe {
        Call::from_vector(
            py,
            all.as_ptr(),
            ffi::Py_ssize_t::try_from(count)?,
            if names.is_empty() { std::ptr::null_mut() } else { names.as_ptr() },
        )
    };
    f(call)
}
