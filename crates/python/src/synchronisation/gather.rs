//! `gather()`: many awaitables as one future.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::gathering::{Children, Gathering, bound_child_is_done};
use crate::ffi::coroutine;
use crate::ffi::native::arguments::{Call, Signature};
use crate::ffi::native::method::{Method, Returned, bound, with_arguments};
use crate::ffi::native::object::Native;
use crate::ffi::owned::Owned;
use crate::future::{EventLoop, Waiter};
use crate::imported;
use crate::task::{Task, native_future};

/// Makes the function and the class of what it returns.
///
/// # Errors
/// Those of [`crate::ffi::native::class::build`].
pub(super) fn make_function(module: &Bound<'_, PyModule>) -> PyResult<()> {
    static GATHER: Method = with_arguments!(
        PyModule,
        c"gather",
        gather,
        c"gather($module, /, *coros_or_futures, return_exceptions=False)\n--\n\nA future of the results of all, in their order. See `asyncio.gather()`."
    );
    super::gathering::make_class(module.py())?;
    module.add("gather", bound(module, &GATHER)?)
}

const GATHER: Signature<0, 1> = Signature {
    function: "gather",
    positional: [],
    required: 0,
    rest: true,
    keywords: [c"return_exceptions"],
};

fn gather<'py>(module: &Bound<'py, PyModule>, call: Call<'_, 'py>) -> Returned<'py> {
    let py = module.py();
    let sorted = call.sorted(&GATHER)?;
    let return_exceptions = sorted.keywords[0].map_or(Ok(false), |given| given.is_truthy())?;
    let arguments = sorted.rest.tuple()?;
    if arguments.is_empty() {
        let future = imported::current_loop(py)?.call_method0(intern!(py, "create_future"))?;
        future.call_method1(intern!(py, "set_result"), (PyList::empty(py),))?;
        return Ok(future);
    }
    let mut gatherer = Gatherer::new(Gathering::create(py, return_exceptions)?, arguments.len());
    for argument in &arguments {
        gatherer.add(&argument)?;
    }
    gatherer.finish()
}

/// A gathering future, while its children are collected.
struct Gatherer<'py> {
    gathering: Bound<'py, Gathering>,
    children: Children,
    /// That of the first child, to which all belong.
    event_loop: Option<EventLoop>,
    /// The loop's method.
    create_task: Option<Bound<'py, PyAny>>,
    /// What children call that are not ours.
    callback: Option<Bound<'py, PyAny>>,
    /// Where the child of an argument is that is no other's equal.
    places: HashMap<usize, usize, BuildHasherDefault<ByAddress>>,
    /// Where that of any other is.
    other_places: Option<Bound<'py, PyDict>>,
    /// Children that were done before.
    done: Vec<Owned>,
}

impl<'py> Gatherer<'py> {
    fn new(gathering: Bound<'py, Gathering>, arguments: usize) -> Self {
        Self {
            gathering,
            children: Children { each: Vec::with_capacity(arguments), places: Vec::new() },
            event_loop: None,
            create_task: None,
            callback: None,
            places: HashMap::with_capacity_and_hasher(arguments, BuildHasherDefault::default()),
            other_places: None,
            done: Vec::new(),
        }
    }

    /// Adds the child of an argument, unless that was there before.
    ///
    /// # Errors
    /// `TypeError` for what is no awaitable or cannot be hashed; `ValueError` for a future of a
    /// different loop; `RuntimeError` if there is no loop; what making a task raises.
    #[inline]
    fn add(&mut self, argument: &Bound<'py, PyAny>) -> PyResult<()> {
        let is_coroutine = coroutine::is_native(argument);
        let next = self.children.each.len();
        if is_coroutine || native_future(argument).is_some() {
            let address = argument.as_ptr().addr();
            if let Some(&place) = self.places.get(&address) {
                self.add_again(place);
                return Ok(());
            }
            let child = if is_coroutine { self.task_of(argument)? } else { self.ours(argument)? };
            self.places.insert(address, next);
            return self.push(child);
        }
        let others = self.other_places.get_or_insert_with(|| PyDict::new(argument.py())).clone();
        if let Some(place) = others.get_item(argument)? {
            self.add_again(place.extract()?);
            return Ok(());
        }
        let child = self.any(argument)?;
        others.set_item(argument, next)?;
        self.push(child)
    }

    /// Adds a child that is there already.
    fn add_again(&mut self, place: usize) {
        if self.children.places.is_empty() {
            self.children.places = (0..self.children.each.len()).collect();
        }
        self.children.places.push(place);
    }

    /// Adds a child, which is told to say when it is done.
    #[inline]
    fn push(&mut self, child: Bound<'py, PyAny>) -> PyResult<()> {
        let py = child.py();
        let native = native_future(&child);
        // Before 3.12 they call back in the next turn.
        let is_done = cfg!(Py_3_12)
            && match native {
                Some(native) => !native.is_pending(py),
                None => child.call_method0(intern!(py, "done"))?.is_truthy()?,
            };
        if is_done {
            self.done.push(Owned::new(child.clone()));
        } else if let Some(native) = native {
            let waiter = Waiter::Gathering(Owned::new(self.gathering.clone()));
            native.add_waiter(&child, waiter)?;
        } else {
            let callback = match &self.callback {
                Some(callback) => callback,
                None => self.callback.insert(bound_child_is_done(&self.gathering)?),
            };
            child.call_method1(intern!(py, "add_done_callback"), (callback,))?;
        }
        if !self.children.places.is_empty() {
            self.children.places.push(self.children.each.len());
        }
        self.children.each.push(Owned::new(child));
        Ok(())
    }

    /// A new task that runs a coroutine.
    #[inline]
    fn task_of(&mut self, coroutine: &Bound<'py, PyAny>) -> Returned<'py> {
        let py = coroutine.py();
        let create_task = if let Some(create_task) = &self.create_task {
            create_task
        } else {
            let event_loop = match &self.event_loop {
                Some(event_loop) => event_loop.object(py),
                None => imported::current_loop(py)?,
            };
            self.create_task.insert(event_loop.getattr(intern!(py, "create_task"))?)
        };
        let task = match create_task.call1((coroutine,)) {
            Ok(task) => task,
            Err(error) => {
                if error.is_instance_of::<PyRuntimeError>(py) {
                    coroutine.call_method0(intern!(py, "close"))?;
                }
                return Err(error);
            }
        };
        self.note_loop_of(&task)?;
        silence(&task)?;
        Ok(task)
    }

    /// A future or task of ours, as it is.
    fn ours(&mut self, future: &Bound<'py, PyAny>) -> Returned<'py> {
        if let (Some(known), Some(native)) = (&self.event_loop, native_future(future))
            && !known.is(&native.event_loop(future.py())?)
        {
            let message = "The future belongs to a different loop than the one specified as the \
                           loop argument";
            return Err(PyValueError::new_err(message));
        }
        self.note_loop_of(future)?;
        Ok(future.clone())
    }

    /// What asyncio makes of anything else.
    fn any(&mut self, awaitable: &Bound<'py, PyAny>) -> Returned<'py> {
        let py = awaitable.py();
        let keywords = PyDict::new(py);
        keywords.set_item(intern!(py, "loop"), self.event_loop.as_ref().map(|it| it.object(py)))?;
        let future = imported::ensure_future(py)?.call((awaitable,), Some(&keywords))?;
        self.note_loop_of(&future)?;
        if !future.is(awaitable) {
            silence(&future)?;
        }
        Ok(future)
    }

    /// The first child's loop is that of all.
    #[inline]
    fn note_loop_of(&mut self, child: &Bound<'py, PyAny>) -> PyResult<()> {
        if self.event_loop.is_some() {
            return Ok(());
        }
        let py = child.py();
        self.event_loop = Some(match native_future(child) {
            Some(native) => native.event_loop(py)?,
            None => EventLoop::new(&imported::get_loop(py)?.call1((child,))?),
        });
        Ok(())
    }

    /// The future, which is done if all children are.
    fn finish(self) -> Returned<'py> {
        let Self { gathering, children, event_loop, done, .. } = self;
        let py = gathering.py();
        let event_loop = match event_loop {
            Some(event_loop) => event_loop.object(py),
            None => imported::current_loop(py)?,
        };
        Gathering::begin(&gathering, &event_loop, children)?;
        for child in done {
            Gathering::child_is_done(&gathering, &child.bind(py))?;
        }
        Ok(gathering.into_any())
    }
}

/// Nobody else knows a task that was made for a coroutine: when it is given up, the caller wanted
/// it so.
fn silence(task: &Bound<'_, PyAny>) -> PyResult<()> {
    match task.cast_exact::<Task>() {
        Ok(task) => {
            task.contents().be_silent_when_destroyed(task.py());
            Ok(())
        }
        Err(_) => task.setattr(intern!(task.py(), "_log_destroy_pending"), false),
    }
}

/// Hashes the address of an object.
#[derive(Default)]
struct ByAddress(u64);

impl Hasher for ByAddress {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    #[inline]
    fn write_usize(&mut self, address: usize) {
        // The lowest bits of an address are the same, and the map looks at the highest, too.
        self.0 = (self.0 ^ address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(26);
    }
}
