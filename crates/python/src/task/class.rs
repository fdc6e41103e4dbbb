//! `Task` as Python code sees it.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::step::{self, Cause};
use super::{Beginning, Name, Task, as_name, registry};
use crate::ffi::native::arguments::{Call, Signature};
use crate::ffi::native::class::{self, Class, init, unary_slot};
use crate::ffi::native::method::{
    Method, Returned, attribute, boolean, bound, none, with_arguments, with_object,
    without_arguments,
};
use crate::ffi::native::object::{Native, NativeClass};
use crate::ffi::owned::Owned;
use crate::future::{CANCEL, Future, named, not_deleted};
use crate::imported;

/// Makes the class.
///
/// # Errors
/// Those of [`class::build`].
pub(crate) fn make_class(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let class = Class {
        doc: c"A coroutine that the loop runs; `asyncio.Task` by interface and by `isinstance`.",
        base: Some(Future::cell().get()),
        methods: methods(),
        attributes: vec![
            attribute!(Task, c"__class__", asyncio_class),
            attribute!(Task, c"_coro", get_coro),
            attribute!(Task, c"_fut_waiter", waits_for),
            attribute!(Task, c"_must_cancel", must_cancel),
            attribute!(Task, c"_log_destroy_pending", is_loud, set_loud),
        ],
        slots: vec![init!(Task, init), unary_slot!(Task, Py_tp_repr, repr)],
        has_dict: true,
        subclassable: true,
    };
    let class = class::build::<Task>(module.py(), class)?;
    module.add("Task", class)?;
    registry::add_functions(module)
}

fn methods() -> Vec<Method> {
    let mut methods: Vec<Method> = vec![
        with_arguments!(
            Task,
            c"cancel",
            cancel,
            c"cancel($self, /, msg=None)\n--\n\nHas CancelledError thrown into the coroutine; False if the task is done."
        ),
        without_arguments!(
            Task,
            c"cancelling",
            cancelling,
            c"cancelling($self, /)\n--\n\nHow many requests of cancellation have not been withdrawn."
        ),
        without_arguments!(
            Task,
            c"uncancel",
            uncancel,
            c"uncancel($self, /)\n--\n\nWithdraws a request of cancellation and returns how many are left."
        ),
        without_arguments!(
            Task,
            c"get_coro",
            get_coro,
            c"get_coro($self, /)\n--\n\nThe coroutine."
        ),
        without_arguments!(
            Task,
            c"get_name",
            get_name,
            c"get_name($self, /)\n--\n\nThe name."
        ),
        with_object!(
            Task,
            c"set_name",
            set_name,
            c"set_name($self, value, /)\n--\n\nSets the name, made a str."
        ),
        with_arguments!(
            Task,
            c"get_stack",
            get_stack,
            c"get_stack($self, /, *, limit=None)\n--\n\nThe frames of the coroutine, as asyncio's tasks return them."
        ),
        with_arguments!(
            Task,
            c"print_stack",
            print_stack,
            c"print_stack($self, /, *, limit=None, file=None)\n--\n\nPrints the coroutine's stack, as asyncio's tasks do."
        ),
        with_object!(
            Task,
            c"set_result",
            set_result,
            c"set_result($self, result, /)\n--\n\nRaises RuntimeError: the coroutine does."
        ),
        with_object!(
            Task,
            c"set_exception",
            set_exception,
            c"set_exception($self, exception, /)\n--\n\nRaises RuntimeError: the coroutine does."
        ),
    ];
    if cfg!(Py_3_12) {
        methods.push(without_arguments!(
            Task,
            c"get_context",
            get_context,
            c"get_context($self, /)\n--\n\nThe context in which the coroutine runs."
        ));
    }
    methods
}

/// What a loop that is not ours calls for a step.
///
/// # Errors
/// `MemoryError`.
pub(super) fn bound_step<'py>(slf: &Bound<'py, Task>) -> Returned<'py> {
    static STEP: Method = without_arguments!(Task, c"task_step", call_step, c"");
    bound(slf, &STEP)
}

/// What a future that is not ours, or whose loop is not, calls when it is done.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn bound_wake_up<'py>(slf: &Bound<'py, Task>) -> Returned<'py> {
    static WAKE_UP: Method = with_object!(Task, c"task_wakeup", call_wake_up, c"");
    bound(slf, &WAKE_UP)
}

fn call_step<'py>(slf: &Bound<'py, Task>) -> Returned<'py> {
    step::called(slf, Cause::Scheduled).map(|()| none(slf.py()))
}

fn call_wake_up<'py>(slf: &Bound<'py, Task>, _future: &Bound<'py, PyAny>) -> Returned<'py> {
    step::called(slf, Cause::Woken).map(|()| none(slf.py()))
}

const INIT: Signature<1, { if cfg!(Py_3_12) { 4 } else { 3 } }> = Signature {
    function: "Task",
    positional: [c"coro"],
    required: 1,
    rest: false,
    #[cfg(Py_3_12)]
    keywords: [c"loop", c"name", c"context", c"eager_start"],
    #[cfg(not(Py_3_12))]
    keywords: [c"loop", c"name", c"context"],
};

const LIMIT_AND_FILE: Signature<0, 2> = Signature {
    function: "print_stack",
    positional: [],
    required: 0,
    rest: false,
    keywords: [c"limit", c"file"],
};

const LIMIT: Signature<0, 1> = Signature {
    function: "get_stack",
    positional: [],
    required: 0,
    rest: false,
    keywords: [c"limit"],
};

fn init<'py>(slf: &Bound<'py, Task>, call: Call<'_, 'py>) -> PyResult<()> {
    let sorted = call.sorted(&INIT)?;
    let given = |at: usize| sorted.keywords.get(at).copied().flatten().filter(|it| !it.is_none());
    let Some(coroutine) = sorted.positional[0] else { return Ok(()) };
    slf.contents().base.begin(slf.py(), given(0).as_deref())?;
    let eager = given(3).map_or(Ok(false), |eager| eager.is_truthy())?;
    let (name, context) = (given(1).as_deref().cloned(), given(2).as_deref().cloned());
    Task::begin(slf, Beginning { coroutine: &coroutine, name, context, eager })
}

fn repr<'py>(slf: &Bound<'py, Task>) -> Returned<'py> {
    slf.contents().base.event_loop(slf.py())?;
    named(slf.as_any(), imported::task_repr(slf.py())?.call1((slf,))?)
}

/// Answers `asyncio.Task`, so that `isinstance` does.
fn asyncio_class<'py>(slf: &Bound<'py, Task>) -> Returned<'py> {
    Ok(imported::task_class(slf.py())?.clone().into_any())
}

fn cancel<'py>(slf: &Bound<'py, Task>, call: Call<'_, 'py>) -> Returned<'py> {
    let sorted = call.sorted(&CANCEL)?;
    Ok(boolean(slf.py(), Task::cancel(slf, sorted.positional[0].as_deref())?))
}

fn cancelling<'py>(slf: &Bound<'py, Task>) -> Returned<'py> {
    let requests = slf.contents().cancel_requests(slf.py());
    Ok(requests.into_pyobject(slf.py())?.into_any())
}

fn uncancel<'py>(slf: &Bound<'py, Task>) -> Returned<'py> {
    let requests = slf.contents().run.with(slf.py(), |run| {
        if run.cancel_requests > 0 {
            run.cancel_requests -= 1;
            if cfg!(Py_3_13) && run.cancel_requests == 0 {
                run.must_cancel = false;
            }
        }
        run.cancel_requests
    });
    Ok(requests.into_pyobject(slf.py())?.into_any())
}

fn get_coro<'py>(slf: &Bound<'py, Task>) -> Returned<'py> {
    part(slf, |run| run.coroutine.clone())
}

fn waits_for<'py>(slf: &Bound<'py, Task>) -> Returned<'py> {
    part(slf, |run| run.waits_for.clone())
}

fn get_context<'py>(slf: &Bound<'py, Task>) -> Returned<'py> {
    part(slf, |run| run.context.clone())
}

fn part<'py>(
    slf: &Bound<'py, Task>,
    part: impl FnOnce(&super::Run) -> Option<Owned>,
) -> Returned<'py> {
    let part = slf.contents().run.with(slf.py(), |run| part(run));
    Ok(part.map_or_else(|| none(slf.py()), |part| part.into_bound(slf.py())))
}

fn must_cancel<'py>(slf: &Bound<'py, Task>) -> Returned<'py> {
    Ok(boolean(slf.py(), slf.contents().run.with(slf.py(), |run| run.must_cancel)))
}

fn is_loud<'py>(slf: &Bound<'py, Task>) -> Returned<'py> {
    Ok(boolean(slf.py(), slf.contents().run.with(slf.py(), |run| !run.silent_when_destroyed)))
}

fn set_loud(slf: &Bound<'_, Task>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let loud = not_deleted(value)?.is_truthy()?;
    slf.contents().run.with(slf.py(), |run| run.silent_when_destroyed = !loud);
    Ok(())
}

fn get_name<'py>(slf: &Bound<'py, Task>) -> Returned<'py> {
    Ok(slf.contents().name(slf.py()).unwrap_or_else(|| none(slf.py())))
}

fn set_name<'py>(slf: &Bound<'py, Task>, name: &Bound<'py, PyAny>) -> Returned<'py> {
    let name = Name::Given(Owned::new(as_name(name.clone())?));
    drop(slf.contents().run.with(slf.py(), |run| std::mem::replace(&mut run.name, name)));
    Ok(none(slf.py()))
}

fn get_stack<'py>(slf: &Bound<'py, Task>, call: Call<'_, 'py>) -> Returned<'py> {
    let [limit] = call.sorted(&LIMIT)?.keywords;
    imported::task_stack(slf.py())?.call1((slf, limit))
}

fn print_stack<'py>(slf: &Bound<'py, Task>, call: Call<'_, 'py>) -> Returned<'py> {
    let [limit, file] = call.sorted(&LIMIT_AND_FILE)?.keywords;
    imported::print_task_stack(slf.py())?.call1((slf, limit, file))
}

fn set_result<'py>(_slf: &Bound<'py, Task>, _result: &Bound<'py, PyAny>) -> Returned<'py> {
    Err(PyRuntimeError::new_err("Task does not support set_result operation"))
}

fn set_exception<'py>(_slf: &Bound<'py, Task>, _exception: &Bound<'py, PyAny>) -> Returned<'py> {
    Err(PyRuntimeError::new_err("Task does not support set_exception operation"))
}
