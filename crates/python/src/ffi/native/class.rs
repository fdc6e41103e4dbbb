//! Making the types of native classes, and giving native methods to other classes.

use std::ffi::{c_int, c_uint, c_void};
use std::mem::offset_of;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::dealloc::{clear, dealloc, finalize, traverse};
use super::method::{Attribute, Method, status_on_object, with_tuple};
use super::object::{Contents, Object};

/// What a class consists of beside its contents.
pub(crate) struct Class {
    pub(crate) doc: &'static std::ffi::CStr,
    pub(crate) base: Option<*mut ffi::PyTypeObject>,
    pub(crate) methods: Vec<Method>,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) has_dict: bool,
    pub(crate) subclassable: bool,
}

/// A function in one of a type's slots.
#[derive(Clone, Copy)]
pub(crate) struct Slot(pub(crate) ffi::PyType_Slot);

impl Slot {
    pub(crate) const fn new(slot: c_int, function: *mut c_void) -> Self {
        Self(ffi::PyType_Slot { slot, pfunc: function })
    }
}

/// Makes the type of `T`.
///
/// # Errors
/// What CPython has against it, which would be a mistake in its declaration.
pub(crate) fn build<T: Contents>(py: Python<'_>, class: Class) -> PyResult<Bound<'_, PyType>> {
    let offset = |offset: usize| ffi::Py_ssize_t::try_from(offset);
    let member = |name: &'static std::ffi::CStr, offset| ffi::PyMemberDef {
        name: name.as_ptr(),
        type_code: ffi::Py_T_PYSSIZET,
        offset,
        flags: ffi::Py_READONLY,
        doc: std::ptr::null(),
    };
    let mut members =
        vec![member(c"__weaklistoffset__", offset(offset_of!(Object<T>, weak_references))?)];
    if class.has_dict {
        members.push(member(c"__dictoffset__", offset(offset_of!(Object<T>, dict))?));
    }
    members.push(ffi::PyMemberDef::default());

    let mut methods: Vec<ffi::PyMethodDef> = class.methods.iter().map(|it| it.0).collect();
    methods.push(ffi::PyMethodDef::zeroed());
    let mut attributes: Vec<ffi::PyGetSetDef> = class.attributes.iter().map(|it| it.0).collect();
    if class.has_dict {
        attributes.push(ffi::PyGetSetDef {
            name: c"__dict__".as_ptr(),
            get: Some(ffi::PyObject_GenericGetDict),
            set: Some(ffi::PyObject_GenericSetDict),
            doc: std::ptr::null(),
            closure: std::ptr::null_mut(),
        });
    }
    attributes.push(ffi::PyGetSetDef::default());

    // The tables live as long as the type, which is forever.
    let mut slots = vec![
        Slot::new(ffi::Py_tp_doc, class.doc.as_ptr().cast_mut().cast()),
        Slot::new(ffi::Py_tp_members, Box::leak(members.into_boxed_slice()).as_mut_ptr().cast()),
        Slot::new(ffi::Py_tp_methods, Box::leak(methods.into_boxed_slice()).as_mut_ptr().cast()),
        Slot::new(ffi::Py_tp_getset, Box::leak(attributes.into_boxed_slice()).as_mut_ptr().cast()),
        Slot::new(ffi::Py_tp_traverse, traverse::<T> as *mut c_void),
        Slot::new(ffi::Py_tp_clear, clear::<T> as *mut c_void),
        Slot::new(ffi::Py_tp_dealloc, dealloc::<T> as *mut c_void),
    ];
    if T::FINALIZES {
        slots.push(Slot::new(ffi::Py_tp_finalize, finalize::<T> as *mut c_void));
    }
    slots.extend(class.slots);
    let mut slots: Vec<ffi::PyType_Slot> = slots.iter().map(|it| it.0).collect();
    slots.push(ffi::PyType_Slot::default());
    let mut flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_HAVE_GC;
    if class.subclassable {
        flags |= ffi::Py_TPFLAGS_BASETYPE;
    }
    if T::blank().is_none() {
        flags |= ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION;
    } else {
        slots.insert(0, Slot::new(ffi::Py_tp_new, new::<T> as *mut c_void).0);
    }
    let mut spec = ffi::PyType_Spec {
        name: T::NAME.as_ptr(),
        basicsize: c_int::try_from(size_of::<Object<T>>())?,
        itemsize: 0,
        flags: c_uint::try_from(flags)?,
        slots: slots.as_mut_ptr(),
    };
    let base = class.base.map_or(std::ptr::null_mut(), <*mut _>::cast);
    // SAFETY: the thread is attached; the spec describes `Object<T>`, its slots have the types
    // that their numbers stand for, and its tables end with a zeroed entry.
    let made: Bound<'_, PyAny> = unsafe {
        Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpecWithBases(&raw mut spec, base))?
    };
    let made = made.cast_into::<PyType>()?;
    // The cell keeps it alive.
    T::cell().set(made.clone().into_ptr().cast());
    Ok(made)
}

/// `tp_new`: an instance whose contents are blank.
unsafe extern "C" fn new<T: Contents>(
    class: *mut ffi::PyTypeObject,
    _arguments: *mut ffi::PyObject,
    _keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: `tp_alloc` makes a zeroed instance of the class or a subclass, which nobody has
    // seen before its contents are written.
    unsafe {
        let allocate = (*class).tp_alloc.unwrap_or(ffi::PyType_GenericAlloc);
        let object = allocate(class, 0);
        if !object.is_null()
            && let Some(blank) = T::blank()
        {
            (&raw mut (*object.cast::<Object<T>>()).contents).write(blank);
        }
        object
    }
}

/// `tp_init`: `fn(&Bound<Class>, Call) -> PyResult<()>`.
macro_rules! init {
    ($class:ty, $function:path) => {{
        #[allow(unsafe_code)]
        unsafe extern "C" fn native_init(
            slf: *mut pyo3::ffi::PyObject,
            arguments: *mut pyo3::ffi::PyObject,
            keywords: *mut pyo3::ffi::PyObject,
        ) -> std::ffi::c_int {
            // SAFETY: the interpreter calls this, attached, on an instance of the class.
            unsafe {
                $crate::ffi::native::class::call_init::<$class>(
                    slf,
                    arguments,
                    keywords,
                    |slf, call| $function(slf, call),
                )
            }
        }
        $crate::ffi::native::class::Slot::new(
            pyo3::ffi::Py_tp_init,
            native_init as *mut std::ffi::c_void,
        )
    }};
}
pub(crate) use init;

/// # Safety
/// The thread is attached; `slf` is an instance, `arguments` a tuple, `keywords` a dict or null.
pub(crate) unsafe fn call_init<T: Contents>(
    slf: *mut ffi::PyObject,
    arguments: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
    f: impl for<'py> FnOnce(&Bound<'py, T>, super::arguments::Call<'_, 'py>) -> PyResult<()>,
) -> c_int {
    // SAFETY: as the caller says.
    unsafe {
        status_on_object::<T>(slf, |slf| {
            let py = slf.py();
            let arguments =
                Bound::from_borrowed_ptr(py, arguments).cast_into_unchecked::<PyTuple>();
            let keywords = Bound::from_borrowed_ptr_or_opt(py, keywords)
                .map(|keywords| keywords.cast_into_unchecked::<PyDict>());
            with_tuple(&arguments, keywords.as_ref(), |call| f(slf, call))
        })
    }
}

/// A slot that takes the object alone: `fn(&Bound<Class>) -> Returned`.
macro_rules! unary_slot {
    ($class:ty, $slot:ident, $function:path) => {{
        #[allow(unsafe_code)]
        unsafe extern "C" fn native_slot(
            slf: *mut pyo3::ffi::PyObject,
        ) -> *mut pyo3::ffi::PyObject {
            // SAFETY: the interpreter calls this, attached, on an instance of the class.
            unsafe { $crate::ffi::native::method::on_object::<$class>(slf, |slf| $function(slf)) }
        }
        $crate::ffi::native::class::Slot::new(
            pyo3::ffi::$slot,
            native_slot as *mut std::ffi::c_void,
        )
    }};
}
pub(crate) use unary_slot;

/// `tp_iternext`: `fn(&Bound<Class>) -> PyResult<Step>`; what is returned is a `StopIteration`'s.
macro_rules! next_slot {
    ($class:ty, $function:path) => {{
        #[allow(unsafe_code)]
        unsafe extern "C" fn native_slot(
            slf: *mut pyo3::ffi::PyObject,
        ) -> *mut pyo3::ffi::PyObject {
            // SAFETY: the interpreter calls this, attached, on an instance of the class.
            unsafe {
                $crate::ffi::native::method::on_object_or_end::<$class>(slf, |slf| match $function(
                    slf,
                )? {
                    $crate::ffi::coroutine::Step::Yielded(object) => Ok(Some(object)),
                    $crate::ffi::coroutine::Step::Returned(result) => {
                        $crate::ffi::exception::set_stop_iteration(result);
                        Ok(None)
                    }
                })
            }
        }
        $crate::ffi::native::class::Slot::new(
            pyo3::ffi::Py_tp_iternext,
            native_slot as *mut std::ffi::c_void,
        )
    }};
}
pub(crate) use next_slot;

/// `am_send`: `fn(&Bound<Class>) -> PyResult<Step>`; what is sent is ignored.
macro_rules! send_slot {
    ($class:ty, $function:path) => {{
        #[allow(unsafe_code)]
        unsafe extern "C" fn native_slot(
            slf: *mut pyo3::ffi::PyObject,
            _: *mut pyo3::ffi::PyObject,
            result: *mut *mut pyo3::ffi::PyObject,
        ) -> pyo3::ffi::PySendResult {
            let mut returned = false;
            // SAFETY: the interpreter calls this, attached, on an instance of the class, with
            // room for one pointer.
            unsafe {
                *result = $crate::ffi::native::method::on_object::<$class>(slf, |slf| {
                    match $function(slf)? {
                        $crate::ffi::coroutine::Step::Yielded(object) => Ok(object),
                        $crate::ffi::coroutine::Step::Returned(object) => {
                            returned = true;
                            Ok(object)
                        }
                    }
                });
                match (*result).is_null() {
                    true => pyo3::ffi::PySendResult::PYGEN_ERROR,
                    false if returned => pyo3::ffi::PySendResult::PYGEN_RETURN,
                    false => pyo3::ffi::PySendResult::PYGEN_NEXT,
                }
            }
        }
        $crate::ffi::native::class::Slot::new(
            pyo3::ffi::Py_am_send,
            native_slot as *mut std::ffi::c_void,
        )
    }};
}
pub(crate) use send_slot;

/// `tp_hash`: `fn(&Bound<Class>) -> PyResult<isize>`.
macro_rules! hash_slot {
    ($class:ty, $function:path) => {{
        #[allow(unsafe_code)]
        unsafe extern "C" fn native_slot(slf: *mut pyo3::ffi::PyObject) -> pyo3::ffi::Py_hash_t {
            let mut hash = -1;
            // SAFETY: the interpreter calls this, attached, on an instance of the class.
            let status = unsafe {
                $crate::ffi::native::method::status_on_object::<$class>(slf, |slf| {
                    hash = $function(slf)?;
                    Ok(())
                })
            };
            if status < 0 { -1 } else { hash }
        }
        $crate::ffi::native::class::Slot::new(
            pyo3::ffi::Py_tp_hash,
            native_slot as *mut std::ffi::c_void,
        )
    }};
}
pub(crate) use hash_slot;

/// `tp_richcompare`: `fn(&Bound<Class>, &Bound<PyAny>, CompareOp) -> Returned`.
macro_rules! compare_slot {
    ($class:ty, $function:path) => {{
        #[allow(unsafe_code)]
        unsafe extern "C" fn native_slot(
            slf: *mut pyo3::ffi::PyObject,
            other: *mut pyo3::ffi::PyObject,
            operator: std::ffi::c_int,
        ) -> *mut pyo3::ffi::PyObject {
            // SAFETY: the interpreter calls this, attached, on an instance of the class.
            unsafe {
                $crate::ffi::native::method::on_object::<$class>(slf, |slf| {
                    let operator = pyo3::basic::CompareOp::from_raw(operator);
                    $crate::ffi::native::method::borrowing(
                        slf.py(),
                        other,
                        |other| match operator {
                            Some(operator) => $function(slf, other, operator),
                            None => Ok(slf.py().NotImplemented().into_bound(slf.py())),
                        },
                    )
                })
            }
        }
        $crate::ffi::native::class::Slot::new(
            pyo3::ffi::Py_tp_richcompare,
            native_slot as *mut std::ffi::c_void,
        )
    }};
}
pub(crate) use compare_slot;

/// Gives `class`, which was made in another way, native methods.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add_methods(class: &Bound<'_, PyType>, methods: Vec<Method>) -> PyResult<()> {
    for method in Box::leak(methods.into_boxed_slice()) {
        // SAFETY: the definition lives forever; its function is called on instances of the class
        // alone, the descriptor sees to that.
        let descriptor: Bound<'_, PyAny> = unsafe {
            let made = ffi::PyDescr_NewMethod(class.as_ptr().cast(), &raw mut method.0);
            Bound::from_owned_ptr_or_err(class.py(), made)?
        };
        let name = descriptor.getattr("__name__")?.extract::<String>()?;
        class.setattr(name, descriptor)?;
    }
    Ok(())
}
