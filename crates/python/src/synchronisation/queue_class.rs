//! `Queue` as Python code sees it.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString, PyType};

use super::coroutine::{self, Operation};
use super::queue::Queue;
use super::waiter::listed;
use crate::ffi::native::arguments::{Call, Signature};
use crate::ffi::native::class::{self, Class, init, unary_slot};
use crate::ffi::native::method::{
    Attribute, Method, Returned, attribute, boolean, class_method, none, with_arguments,
    with_object, without_arguments,
};
use crate::ffi::native::object::Native;
use crate::ffi::owned::Owned;
use crate::imported;

/// Makes the class.
///
/// # Errors
/// Those of [`class::build`].
pub(super) fn make_class(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let class = Class {
        doc: c"Queue(maxsize=0)\n--\n\nItems handed from task to task, in the order in which they came; `asyncio.Queue` by interface and by `isinstance`.",
        base: None,
        methods: methods(),
        attributes: attributes(),
        slots: vec![
            init!(Queue, init),
            unary_slot!(Queue, Py_tp_repr, repr),
            unary_slot!(Queue, Py_tp_str, as_str),
        ],
        has_dict: true,
        subclassable: true,
    };
    let class = class::build::<Queue>(module.py(), class)?;
    module.add("Queue", class)
}

fn methods() -> Vec<Method> {
    let mut methods = vec![
        without_arguments!(
            Queue,
            c"get",
            get,
            c"get($self, /)\n--\n\nTo be awaited: the next item, waited for if there is none."
        ),
        with_arguments!(
            Queue,
            c"put",
            put,
            c"put($self, /, item)\n--\n\nTo be awaited: adds an item, after waiting for room."
        ),
        without_arguments!(
            Queue,
            c"get_nowait",
            Queue::get_nowait,
            c"get_nowait($self, /)\n--\n\nThe next item; raises QueueEmpty if there is none."
        ),
        with_arguments!(
            Queue,
            c"put_nowait",
            put_nowait,
            c"put_nowait($self, /, item)\n--\n\nAdds an item; raises QueueFull if there is no room."
        ),
        without_arguments!(
            Queue,
            c"qsize",
            qsize,
            c"qsize($self, /)\n--\n\nHow many items there are."
        ),
        without_arguments!(
            Queue,
            c"empty",
            empty,
            c"empty($self, /)\n--\n\nWhether there are no items."
        ),
        without_arguments!(
            Queue,
            c"full",
            full,
            c"full($self, /)\n--\n\nWhether there are `maxsize` items; never without a bound."
        ),
        without_arguments!(
            Queue,
            c"task_done",
            task_done,
            c"task_done($self, /)\n--\n\nSays that an item has been dealt with; raises ValueError if all have been."
        ),
        without_arguments!(
            Queue,
            c"join",
            join,
            c"join($self, /)\n--\n\nTo be awaited: waits until every item has been dealt with."
        ),
        with_object!(Queue, c"_init", init_items, c"_init($self, maxsize, /)\n--\n\n"),
        without_arguments!(Queue, c"_get", take_first, c"_get($self, /)\n--\n\n"),
        with_object!(Queue, c"_put", append, c"_put($self, item, /)\n--\n\n"),
        without_arguments!(Queue, c"_format", format, c"_format($self, /)\n--\n\n"),
        class_method!(
            c"__class_getitem__",
            class_getitem,
            c"__class_getitem__($cls, type, /)\n--\n\nSee PEP 585."
        ),
    ];
    if cfg!(Py_3_13) {
        methods.push(with_arguments!(
            Queue,
            c"shutdown",
            shutdown,
            c"shutdown($self, /, immediate=False)\n--\n\nHas gets and puts raise QueueShutDown: gets when the queue is empty, or `immediate`, which drops what is left."
        ));
    }
    methods
}

fn attributes() -> Vec<Attribute> {
    let mut attributes = vec![
        attribute!(Queue, c"__class__", asyncio_class),
        attribute!(Queue, c"maxsize", maxsize),
        attribute!(Queue, c"_maxsize", maxsize, set_maxsize),
        attribute!(Queue, c"_queue", items, set_items),
        attribute!(Queue, c"_getters", getters),
        attribute!(Queue, c"_putters", putters),
        attribute!(Queue, c"_unfinished_tasks", unfinished, set_unfinished),
        attribute!(Queue, c"_loop", bound_loop, bind_loop),
    ];
    if cfg!(Py_3_13) {
        attributes.push(attribute!(Queue, c"_is_shutdown", is_shut_down));
    }
    attributes
}

const INIT: Signature<1, 0> = Signature {
    function: "Queue.__init__",
    positional: [c"maxsize"],
    required: 0,
    rest: false,
    keywords: [],
};

const PUT: Signature<1, 0> = Signature {
    function: "Queue.put",
    positional: [c"item"],
    required: 1,
    rest: false,
    keywords: [],
};

const PUT_NOWAIT: Signature<1, 0> = Signature { function: "Queue.put_nowait", ..PUT };

const SHUTDOWN: Signature<1, 0> = Signature {
    function: "Queue.shutdown",
    positional: [c"immediate"],
    required: 0,
    rest: false,
    keywords: [],
};

fn init<'py>(slf: &Bound<'py, Queue>, call: Call<'_, 'py>) -> PyResult<()> {
    let [maxsize] = call.sorted(&INIT)?.positional;
    match maxsize {
        Some(maxsize) => Queue::begin(slf, &maxsize),
        None => Queue::begin(slf, PyInt::new(slf.py(), 0).as_any()),
    }
}

fn get<'py>(slf: &Bound<'py, Queue>) -> Returned<'py> {
    coroutine::create(slf.py(), Operation::QueueGet(Owned::new(slf.clone())))
}

/// The only argument of a signature that requires it.
fn only<'py>(call: Call<'_, 'py>, signature: &Signature<1, 0>) -> Returned<'py> {
    let [given] = call.sorted(signature)?.positional;
    // `sorted` has seen to it that it is there.
    given.as_deref().cloned().ok_or_else(|| pyo3::exceptions::PyTypeError::new_err("no item"))
}

fn put<'py>(slf: &Bound<'py, Queue>, call: Call<'_, 'py>) -> Returned<'py> {
    let item = Owned::new(only(call, &PUT)?);
    coroutine::create(slf.py(), Operation::QueuePut(Owned::new(slf.clone()), item))
}

fn put_nowait<'py>(slf: &Bound<'py, Queue>, call: Call<'_, 'py>) -> Returned<'py> {
    let item = only(call, &PUT_NOWAIT)?;
    Queue::put_nowait(slf, &item).map(|()| none(slf.py()))
}

fn qsize<'py>(slf: &Bound<'py, Queue>) -> Returned<'py> {
    Ok(slf.contents().len(slf.py())?.into_pyobject(slf.py())?.into_any())
}

fn empty<'py>(slf: &Bound<'py, Queue>) -> Returned<'py> {
    Ok(boolean(slf.py(), slf.contents().has_no_items(slf.py())?))
}

fn full<'py>(slf: &Bound<'py, Queue>) -> Returned<'py> {
    Ok(boolean(slf.py(), Queue::is_full_itself(slf)?))
}

fn task_done<'py>(slf: &Bound<'py, Queue>) -> Returned<'py> {
    slf.contents().task_done(slf.py()).map(|()| none(slf.py()))
}

fn join<'py>(slf: &Bound<'py, Queue>) -> Returned<'py> {
    coroutine::create(slf.py(), Operation::QueueJoin(Owned::new(slf.clone())))
}

fn shutdown<'py>(slf: &Bound<'py, Queue>, call: Call<'_, 'py>) -> Returned<'py> {
    let [immediate] = call.sorted(&SHUTDOWN)?.positional;
    let immediate = immediate.map_or(Ok(false), |immediate| immediate.is_truthy())?;
    Queue::shut_down(slf, immediate).map(|()| none(slf.py()))
}

/// What a subclass's `_init` may call: the queue is empty.
fn init_items<'py>(slf: &Bound<'py, Queue>, _maxsize: &Bound<'py, PyAny>) -> Returned<'py> {
    let items = |state: &mut super::queue::State| std::mem::take(&mut state.items);
    drop(slf.contents().state.with(slf.py(), items));
    Ok(none(slf.py()))
}

fn take_first<'py>(slf: &Bound<'py, Queue>) -> Returned<'py> {
    slf.contents().take_first(slf.py())
}

fn append<'py>(slf: &Bound<'py, Queue>, item: &Bound<'py, PyAny>) -> Returned<'py> {
    slf.contents().append(item).map(|()| none(slf.py()))
}

fn class_getitem<'py>(class: &Bound<'py, PyType>, item: &Bound<'py, PyAny>) -> Returned<'py> {
    imported::generic_alias(class.py())?.call1((class, item))
}

fn maxsize<'py>(slf: &Bound<'py, Queue>) -> Returned<'py> {
    let maxsize = slf.contents().state.with(slf.py(), |state| state.maxsize.clone());
    Ok(maxsize.map_or_else(|| none(slf.py()), |maxsize| maxsize.into_bound(slf.py())))
}

fn set_maxsize(slf: &Bound<'_, Queue>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    slf.contents().set_maxsize(crate::future::not_deleted(value)?)
}

fn items<'py>(slf: &Bound<'py, Queue>) -> Returned<'py> {
    slf.contents().items(slf.py())
}

fn set_items(slf: &Bound<'_, Queue>, items: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    slf.contents().set_items(crate::future::not_deleted(items)?);
    Ok(())
}

fn getters<'py>(slf: &Bound<'py, Queue>) -> Returned<'py> {
    let py = slf.py();
    listed(py, &slf.contents().state.with(py, |state| state.getters.all()))
}

fn putters<'py>(slf: &Bound<'py, Queue>) -> Returned<'py> {
    let py = slf.py();
    listed(py, &slf.contents().state.with(py, |state| state.putters.all()))
}

fn unfinished<'py>(slf: &Bound<'py, Queue>) -> Returned<'py> {
    let unfinished = slf.contents().state.with(slf.py(), |state| state.unfinished);
    Ok(unfinished.into_pyobject(slf.py())?.into_any())
}

fn is_shut_down<'py>(slf: &Bound<'py, Queue>) -> Returned<'py> {
    Ok(boolean(slf.py(), slf.contents().is_shut_down(slf.py())))
}

fn set_unfinished(slf: &Bound<'_, Queue>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let value = crate::future::not_deleted(value)?.extract()?;
    slf.contents().state.with(slf.py(), |state| state.unfinished = value);
    Ok(())
}

fn bound_loop<'py>(slf: &Bound<'py, Queue>) -> Returned<'py> {
    Ok(slf.contents().binding.get(slf.py()))
}

fn bind_loop(slf: &Bound<'_, Queue>, event_loop: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    slf.contents().binding.set(event_loop, slf.py());
    Ok(())
}

/// Answers `asyncio.Queue`, so that `isinstance` does.
fn asyncio_class<'py>(slf: &Bound<'py, Queue>) -> Returned<'py> {
    Ok(imported::queue_class(slf.py())?.clone().into_any())
}

fn format<'py>(slf: &Bound<'py, Queue>) -> Returned<'py> {
    Ok(PyString::new(slf.py(), &formatted(slf)?).into_any())
}

/// `maxsize=N` and what there is to tell.
fn formatted(slf: &Bound<'_, Queue>) -> PyResult<String> {
    use std::fmt::Write as _;
    let py = slf.py();
    let queue = slf.contents();
    let mut shown = format!("maxsize={}", maxsize(slf)?.repr()?);
    if !queue.has_no_items(py)? {
        let items = queue.listed(py)?;
        let _ = write!(shown, " _queue={}", items.repr()?);
    }
    let (getters, putters, unfinished, is_shut_down) = queue.state.with(py, |state| {
        (state.getters.len(), state.putters.len(), state.unfinished, state.is_shut_down)
    });
    // Writing to a string cannot fail.
    let _ = match getters {
        0 => Ok(()),
        _ => write!(shown, " _getters[{getters}]"),
    };
    let _ = match putters {
        0 => Ok(()),
        _ => write!(shown, " _putters[{putters}]"),
    };
    let _ = match unfinished {
        0 => Ok(()),
        _ => write!(shown, " tasks={unfinished}"),
    };
    if is_shut_down {
        shown.push_str(" shutdown");
    }
    Ok(shown)
}

/// [`formatted`], unless a subclass has its own `_format`.
fn told(slf: &Bound<'_, Queue>) -> PyResult<String> {
    if slf.as_any().is_exact_instance_of::<Queue>() {
        return formatted(slf);
    }
    Ok(slf.as_any().call_method0(intern!(slf.py(), "_format"))?.str()?.to_string())
}

fn repr<'py>(slf: &Bound<'py, Queue>) -> Returned<'py> {
    let name = slf.as_any().get_type().name()?;
    let shown = format!("<{name} at {:#x} {}>", slf.as_ptr().addr(), told(slf)?);
    Ok(PyString::new(slf.py(), &shown).into_any())
}

fn as_str<'py>(slf: &Bound<'py, Queue>) -> Returned<'py> {
    let shown = format!("<{} {}>", slf.as_any().get_type().name()?, told(slf)?);
    Ok(PyString::new(slf.py(), &shown).into_any())
}
