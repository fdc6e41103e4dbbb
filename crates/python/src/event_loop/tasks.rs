//! Making futures and tasks: `create_future`, `create_task`.

use pyo3::intern;
use pyo3::prelude::*;

use super::LoopCore;
use crate::errors::loop_is_closed;
use crate::ffi::native::arguments::{Call, Signature};
use crate::ffi::native::method::{Method, Returned, with_arguments, without_arguments};
use crate::future::Future;
use crate::imported;
use crate::task::{Beginning, Task};

/// The methods of the core that make futures and tasks.
pub(crate) fn methods() -> Vec<Method> {
    vec![
        without_arguments!(
            LoopCore,
            c"create_future",
            create_future,
            c"create_future($self, /)\n--\n\nA new future of this loop. See asyncio's `loop.create_future()`."
        ),
        with_arguments!(
            LoopCore,
            c"create_task",
            create_task,
            c"create_task($self, coro, *, name=None, context=None, **kwargs)\n--\n\nA new task that runs a coroutine. See asyncio's `loop.create_task()`."
        ),
    ]
}

const CREATE_TASK: Signature<1, 2> = Signature {
    function: "create_task",
    positional: [c"coro"],
    required: 1,
    rest: false,
    keywords: [c"name", c"context"],
};

fn create_future<'py>(slf: &Bound<'py, LoopCore>) -> Returned<'py> {
    Future::create(slf).map(Bound::into_any)
}

fn create_task<'py>(slf: &Bound<'py, LoopCore>, call: Call<'_, 'py>) -> Returned<'py> {
    let py = slf.py();
    if slf.get().has_task_factory() {
        let create_task = intern!(py, "create_task");
        let create_task = imported::base_loop_class(py)?.getattr(create_task)?;
        let (arguments, keywords) = call.unpacked()?;
        let all = std::iter::once(slf.clone().into_any()).chain(arguments.iter());
        let all = pyo3::types::PyTuple::new(py, all.collect::<Vec<_>>())?;
        return create_task.call(all, keywords.as_ref());
    }
    let sorted = call.sorted(&CREATE_TASK)?;
    // `sorted` has seen to it that what is required is there.
    let Some(coroutine) = sorted.positional[0] else { return Err(loop_is_closed()) };
    slf.get().with_open(py, |_| ())?;
    let [name, context] =
        sorted.keywords.map(|given| given.filter(|it| !it.is_none()).as_deref().cloned());
    let beginning = Beginning { coroutine: &coroutine, name, context, eager: false };
    Task::create(slf, beginning).map(Bound::into_any)
}
