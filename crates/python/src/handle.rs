//! `Handle`: one callback, its arguments and its context.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::callback::Callback;
use crate::errors::ends_the_run;
use crate::event_loop::LoopCore;
use crate::ffi::cell::AttachedCell;
use crate::ffi::context::{self, Arguments};
use crate::ffi::exception;
use crate::ffi::native::arguments::Rest;
use crate::ffi::native::class::{self, Class, unary_slot};
use crate::ffi::native::method::{Returned, attribute, boolean, none, without_arguments};
use crate::ffi::native::object::{self, Contents, Native, Stop, Vacant, Visitor, native_class};
use crate::ffi::owned::Owned;
use crate::imported;

/// What a handle gives up when it is cancelled.
struct Call {
    callback: Owned,
    arguments: Arguments,
}

/// A scheduled callback; `asyncio.Handle` by interface and by `isinstance`.
///
/// In debug mode the loop makes asyncio's own handles instead, which remember where they were
/// created.
#[repr(C)]
pub(crate) struct Handle {
    event_loop: Owned<LoopCore>,
    context: Owned,
    call: AttachedCell<Option<Call>>,
}

native_class!(Handle, c"rondel._rondel.Handle");

impl Contents for Handle {
    fn visit(&self, visitor: &Visitor<'_>) -> Result<(), Stop> {
        visitor.visit(&self.event_loop)?;
        visitor.visit(&self.context)?;
        let visited = self.call.visit(|call| {
            let Some(call) = call else { return Ok(()) };
            visitor.visit(&call.callback)?;
            match &call.arguments {
                Arguments::None => Ok(()),
                Arguments::One(argument) => visitor.visit(argument),
                Arguments::Many(arguments) => visitor.visit(arguments),
            }
        });
        visited.unwrap_or(Ok(()))
    }

    fn clear(&self) {
        drop(self.call.visit(Option::take));
    }
}

impl Handle {
    /// The contents for `callback(*arguments)` in `context`.
    #[inline(always)]
    pub(crate) fn new(
        event_loop: &Bound<'_, LoopCore>,
        callback: Bound<'_, PyAny>,
        arguments: Arguments,
        context: Bound<'_, PyAny>,
    ) -> Self {
        Self {
            event_loop: Owned::new(event_loop.clone()),
            context: Owned::new(context),
            call: AttachedCell::new(Some(Call { callback: Owned::new(callback), arguments })),
        }
    }

    /// A handle for `callback(*arguments)`, in `context` or else in a copy of the current one.
    pub(crate) fn create<'py>(
        event_loop: &Bound<'py, LoopCore>,
        callback: Bound<'py, PyAny>,
        arguments: Arguments,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        let context = context::or_current(py, context)?;
        object::create(py, Self::new(event_loop, callback, arguments, context))
    }

    /// Makes a handle of `contents` and appends it to the queue of their loop.
    ///
    /// During a run the handle is hidden from the collector ([`Vacant::fill_hidden`]): the loop is
    /// alive then, and the queue keeps the handle, so neither is garbage, nor is what they refer to.
    /// A handle that somebody keeps is shown when it leaves the queue or when the run ends,
    /// whichever comes first.
    ///
    /// # Errors
    /// `RuntimeError` if the loop is closed.
    #[inline(always)]
    pub(crate) fn schedule<'py>(
        vacant: Vacant<'py, Self>,
        event_loop: &Bound<'py, LoopCore>,
        contents: Self,
    ) -> PyResult<Bound<'py, Self>> {
        let handle = vacant.fill_hidden(contents);
        // From here on nothing runs that could end the run.
        let core = event_loop.get();
        if !core.hides_queue() {
            object::show(&handle);
        }
        core.push(event_loop.py(), Callback::Handle(Owned::new(handle.clone())))?;
        Ok(handle)
    }

    /// Called when the queue is about to give the handle up: shows it, if somebody else keeps it.
    #[inline]
    pub(crate) fn leave_queue(slf: &Bound<'_, Self>) {
        if object::is_shared(slf) {
            object::show(slf);
        }
    }

    pub(crate) fn event_loop(&self) -> &Owned<LoopCore> {
        &self.event_loop
    }

    /// The callback and its arguments, unless cancelled.
    #[inline]
    fn parts<'py>(&self, py: Python<'py>) -> Option<(Bound<'py, PyAny>, Arguments)> {
        self.call.with(py, |call| {
            call.as_ref().map(|call| (call.callback.get(py), call.arguments.clone()))
        })
    }

    pub(crate) fn cancel_requested(&self, py: Python<'_>) -> bool {
        self.call.with(py, |call| call.is_none())
    }

    /// Cancels; `false` if it was cancelled before.
    #[inline(always)]
    pub(crate) fn cancel_once(&self, py: Python<'_>) -> bool {
        // Dropped outside the borrow: it may be the last reference to anything.
        self.call.with(py, Option::take).is_some()
    }

    /// Calls the callback, unless cancelled, and reports what it raises.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`.
    #[inline]
    pub(crate) fn run(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let handle = slf.contents();
        let Some((callback, arguments)) = handle.parts(py) else { return Ok(()) };
        match context::call_in(&handle.context.bind(py), &callback, &arguments) {
            Ok(_) => Ok(()),
            Err(error) if ends_the_run(py, &error) => Err(error),
            Err(error) => Self::report(slf, &callback, &arguments, error),
        }
    }

    /// Tells the loop what the callback has raised.
    ///
    /// # Errors
    /// What telling raises.
    #[cold]
    pub(crate) fn report(
        slf: &Bound<'_, Self>,
        callback: &Bound<'_, PyAny>,
        arguments: &Arguments,
        error: PyErr,
    ) -> PyResult<()> {
        let py = slf.py();
        let event_loop = slf.contents().event_loop.bind(py);
        let failed = intern!(py, "_callback_failed");
        let arguments = arguments.tuple(py)?;
        exception::handling(py, error, |error| {
            event_loop.call_method1(failed, (slf, callback, arguments, error)).map(drop)
        })
    }
}

/// What follows the named parameters of `call_soon` and its kin.
#[inline(always)]
pub(crate) fn arguments_of(rest: Rest<'_, '_>) -> PyResult<Arguments> {
    Ok(match rest.len() {
        0 => Arguments::None,
        1 => rest.only().map_or(Arguments::None, |argument| Arguments::One(Owned::new(argument))),
        _ => Arguments::Many(Owned::new(rest.tuple()?)),
    })
}

/// As [`arguments_of`], from a tuple.
pub(crate) fn arguments_in(tuple: Bound<'_, PyTuple>) -> Arguments {
    match tuple.len() {
        0 => Arguments::None,
        _ => Arguments::Many(Owned::new(tuple)),
    }
}

/// Makes the class.
///
/// # Errors
/// Those of [`class::build`].
pub(crate) fn make_class(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let class = Class {
        doc: c"A scheduled callback; `asyncio.Handle` by interface and by `isinstance`.",
        base: None,
        methods: vec![
            without_arguments!(
                Handle,
                c"cancel",
                cancel,
                c"cancel($self, /)\n--\n\nCancels the callback; does nothing if it was cancelled or has run."
            ),
            without_arguments!(
                Handle,
                c"cancelled",
                cancelled,
                c"cancelled($self, /)\n--\n\nWhether the callback was cancelled."
            ),
            without_arguments!(
                Handle,
                c"get_context",
                get_context,
                c"get_context($self, /)\n--\n\nThe context in which the callback runs."
            ),
            without_arguments!(Handle, c"_run", run, c"_run($self, /)\n--\n\n"),
            without_arguments!(Handle, c"_repr_info", repr_info, c"_repr_info($self, /)\n--\n\n"),
        ],
        attributes: vec![
            attribute!(Handle, c"__class__", asyncio_class),
            attribute!(Handle, c"_cancelled", cancelled),
            attribute!(Handle, c"_callback", callback),
            attribute!(Handle, c"_args", args),
            attribute!(Handle, c"_context", get_context),
            attribute!(Handle, c"_loop", owning_loop),
            attribute!(Handle, c"_source_traceback", remembered_in_debug_mode),
            attribute!(Handle, c"_repr", remembered_in_debug_mode),
        ],
        slots: vec![unary_slot!(Handle, Py_tp_repr, repr)],
        has_dict: false,
        subclassable: true,
    };
    let class = class::build::<Handle>(module.py(), class)?;
    module.add("Handle", class)
}

fn cancel<'py>(slf: &Bound<'py, Handle>) -> Returned<'py> {
    slf.contents().cancel_once(slf.py());
    Ok(none(slf.py()))
}

fn cancelled<'py>(slf: &Bound<'py, Handle>) -> Returned<'py> {
    Ok(boolean(slf.py(), slf.contents().cancel_requested(slf.py())))
}

fn get_context<'py>(slf: &Bound<'py, Handle>) -> Returned<'py> {
    Ok(slf.contents().context.get(slf.py()))
}

fn run<'py>(slf: &Bound<'py, Handle>) -> Returned<'py> {
    Handle::run(slf).map(|()| none(slf.py()))
}

fn repr<'py>(slf: &Bound<'py, Handle>) -> Returned<'py> {
    imported::handle_class(slf.py())?.call_method1(intern!(slf.py(), "__repr__"), (slf,))
}

fn repr_info<'py>(slf: &Bound<'py, Handle>) -> Returned<'py> {
    imported::handle_class(slf.py())?.call_method1(intern!(slf.py(), "_repr_info"), (slf,))
}

/// Answers `asyncio.Handle`, so that `isinstance` does.
fn asyncio_class<'py>(slf: &Bound<'py, Handle>) -> Returned<'py> {
    Ok(imported::handle_class(slf.py())?.clone().into_any())
}

fn callback<'py>(slf: &Bound<'py, Handle>) -> Returned<'py> {
    let parts = slf.contents().parts(slf.py());
    Ok(parts.map_or_else(|| none(slf.py()), |(callback, _)| callback))
}

fn args<'py>(slf: &Bound<'py, Handle>) -> Returned<'py> {
    match slf.contents().parts(slf.py()) {
        Some((_, arguments)) => Ok(arguments.tuple(slf.py())?.into_any()),
        None => Ok(none(slf.py())),
    }
}

fn owning_loop<'py>(slf: &Bound<'py, Handle>) -> Returned<'py> {
    Ok(slf.contents().event_loop.get(slf.py()).into_any())
}

/// Only asyncio's own handles do, which are used in debug mode.
fn remembered_in_debug_mode<'py>(slf: &Bound<'py, Handle>) -> Returned<'py> {
    Ok(none(slf.py()))
}
