"""What is particular to Rondel's own ``gather``.

Its behaviour as asyncio's is proven by CPython's own tests (``conformance.synchronisation``).
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import weakref
from collections.abc import Generator
from typing import Any

import pytest
import rondel
from support.loops import Loop, LoopFactory
from support.net import turns

BOTH = pytest.mark.parametrize("gather", [asyncio.gather, rondel.gather])
"""What asyncio's does proves that the test is right."""


async def after_turns(count: int, value: Any = None) -> Any:
    await turns(count)
    if isinstance(value, BaseException):
        raise value
    return value


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


def python_future(loop: Loop) -> Any:
    """Return a future that is neither the loop's nor asyncio's native one."""
    return asyncio.futures._PyFuture(loop=loop)  # type: ignore[attr-defined]


class Awaitable:
    def __init__(self, value: Any, key: int = 0) -> None:
        self.value, self.key = value, key

    def __await__(self) -> Generator[Any, None, Any]:
        yield
        return self.value

    def __hash__(self) -> int:
        return self.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Awaitable) and self.key == other.key


@BOTH
async def test_results_come_in_the_order_of_the_arguments(loop: Loop, gather: Any) -> None:
    future, done, other = loop.create_future(), loop.create_future(), python_future(loop)
    done.set_result("done")
    loop.call_soon(future.set_result, "future")
    loop.call_soon(other.set_result, "other")
    task = loop.create_task(after_turns(1, "task"))
    given = [after_turns(5, 5), future, task, done, other, Awaitable("own"), after_turns(0, 0)]
    results = await gather(*given, rondel.sleep(0, "slept"))
    assert results == [5, "future", "task", "done", "other", "own", 0, "slept"]


@BOTH
async def test_it_is_a_pending_future_of_the_loop(loop: Loop, gather: Any) -> None:
    gathered = gather(after_turns(3))
    assert isinstance(gathered, asyncio.Future)
    assert asyncio.isfuture(gathered)
    assert not gathered.done()
    assert gathered.get_loop() is loop
    assert repr(gathered).startswith("<_GatheringFuture pending")
    assert await gathered == [None]
    assert not gathered.cancel()


@BOTH
async def test_of_nothing_it_is_done(loop: Loop, gather: Any) -> None:
    gathered = gather()
    assert gathered.done()
    assert gathered.get_loop() is loop
    assert await gather(return_exceptions=True) == []


@BOTH
async def test_what_is_given_twice_is_awaited_once(loop: Loop, gather: Any) -> None:
    begun = []

    async def once(name: str) -> object:
        begun.append(name)
        return object()

    one, future, awaitable = once("one"), loop.create_future(), Awaitable("first", 1)
    loop.call_soon(future.set_result, "future")
    given = [future, one, awaitable, one, once("two"), future, Awaitable("equal", 1), one]
    results = await gather(*given)
    assert begun == ["one", "two"]
    assert results[1] is results[3] is results[7] is not results[4]
    assert (results[0], results[5]) == ("future", "future")
    assert (results[2], results[6]) == ("first", "first")


@BOTH
async def test_the_first_error_is_passed_on_and_the_rest_runs_on(loop: Loop, gather: Any) -> None:
    rest = loop.create_task(after_turns(9, "rest"))
    error = LookupError("first")
    gathered = gather(rest, after_turns(2, error), after_turns(4, ValueError("second")))
    with pytest.raises(LookupError, match="first") as caught:
        await gathered
    assert caught.value is error
    assert not rest.done()
    assert not gathered.cancel()
    assert await rest == "rest"


@BOTH
async def test_errors_can_be_results(loop: Loop, gather: Any) -> None:
    error = LookupError()
    cancelled, other = loop.create_future(), python_future(loop)
    loop.call_soon(cancelled.cancel, "why")
    loop.call_soon(other.cancel)
    gathered = gather(after_turns(1, error), cancelled, other, return_exceptions=True)
    results = await gathered
    assert results[0] is error
    assert [type(result) for result in results[1:]] == [asyncio.CancelledError] * 2
    assert [result.args for result in results[1:]] == [("why",), ("",)]


@BOTH
async def test_a_cancelled_child_is_an_error(loop: Loop, gather: Any) -> None:
    for child in (loop.create_task(forever()), loop.create_future(), python_future(loop)):
        gathered = gather(child, after_turns(5))
        loop.call_soon(child.cancel, "why")
        with pytest.raises(asyncio.CancelledError, match="why"):
            await gathered
        assert not gathered.cancelled()
        assert isinstance(gathered.exception(), asyncio.CancelledError)
        await turns(6)


@BOTH
@pytest.mark.parametrize("return_exceptions", [False, True])
async def test_to_be_cancelled_is_to_cancel_the_children(
    loop: Loop, gather: Any, return_exceptions: bool
) -> None:
    tasks = [loop.create_task(forever()) for _ in range(3)]
    futures = [loop.create_future(), python_future(loop)]
    gathered = gather(*tasks, *futures, tasks[0], return_exceptions=return_exceptions)
    await asyncio.sleep(0)
    assert gathered.cancel("enough")
    assert not gathered.done()
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await gathered
    await turns(3)
    assert all(child.cancelled() for child in (*tasks, *futures))
    # As often as it was given.
    assert [task.cancelling() for task in tasks] == [2, 1, 1]


@BOTH
async def test_the_task_that_waits_passes_its_cancellation_on(loop: Loop, gather: Any) -> None:
    stubborn_ended = []

    async def stubborn() -> str:
        try:
            await forever()
        except asyncio.CancelledError:
            stubborn_ended.append(True)
        return "stubborn"

    async def outer() -> Any:
        return await gather(stubborn(), stubborn(), return_exceptions=True)

    task = loop.create_task(outer())
    await turns(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stubborn_ended == [True, True]
    assert task.cancelled()


@BOTH
async def test_what_is_done_cannot_be_cancelled(loop: Loop, gather: Any) -> None:
    child = loop.create_future()
    gathered = gather(child)
    child.set_result(1)
    # The child is done, and has not said so yet.
    assert not gathered.cancel()
    assert await gathered == [1]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="they are waited for up to 3.11")
@BOTH
async def test_of_what_is_done_it_is_done_at_once(loop: Loop, gather: Any) -> None:
    done, failed, other = loop.create_future(), loop.create_future(), python_future(loop)
    done.set_result(1)
    other.set_result(2)
    assert gather(done, other, done).result() == [1, 2, 1]
    failed.set_exception(LookupError("at once"))
    with pytest.raises(LookupError, match="at once"):
        gather(done, failed, loop.create_future()).result()
    assert not gather(done, loop.create_future()).done()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks begin eagerly from 3.12 on")
@BOTH
async def test_of_eager_tasks_that_are_done_it_is_done_at_once(loop: Loop, gather: Any) -> None:
    async def value() -> int:
        return 1

    loop.set_task_factory(asyncio.eager_task_factory)
    try:
        assert gather(value(), value()).result() == [1, 1]
    finally:
        loop.set_task_factory(None)


@BOTH
async def test_futures_of_different_loops_are_refused(
    loop: Loop, loop_factory: LoopFactory, gather: Any
) -> None:
    other = loop_factory()
    for futures in (
        (loop.create_future(), other.create_future()),
        (python_future(loop), python_future(other)),
    ):
        with pytest.raises(ValueError, match="^The future belongs to a different loop than"):
            gather(*futures)
    other.close()


@BOTH
@pytest.mark.parametrize("wrong", [1, None, "no awaitable", {}])
async def test_what_cannot_be_awaited_is_refused(loop: Loop, gather: Any, wrong: Any) -> None:
    error = LookupError("of a child that nobody gathers")
    child = loop.create_task(after_turns(1, error))
    future = loop.create_future()
    with pytest.raises(TypeError, match="awaitable|unhashable"):
        gather(child, future, wrong)
    future.set_result(None)
    # Their errors are nobody's: reports of the loop fail the test.
    await turns(4)
    del child, error
    gc.collect()


@BOTH
def test_a_loop_that_is_closed_closes_coroutines(loop_factory: LoopFactory, gather: Any) -> None:
    loop = loop_factory()
    future = loop.create_future()
    loop.close()
    coroutine = after_turns(1)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        gather(future, coroutine)
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        coroutine.send(None)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 makes one, and warns")
@BOTH
def test_without_a_loop_it_is_refused(gather: Any) -> None:
    asyncio.set_event_loop(None)
    coroutine = after_turns(1)
    for given in ((), (coroutine,)):
        with pytest.raises(RuntimeError, match="no current event loop"):
            gather(*given)
    coroutine.close()


@BOTH
async def test_errors_after_the_first_are_nobodys(loop: Loop, gather: Any) -> None:
    failing = [after_turns(count, LookupError(str(count))) for count in range(3)]
    other = python_future(loop)
    gathered = gather(*failing, other)
    with pytest.raises(LookupError, match="0"):
        await gathered
    other.set_exception(LookupError("other"))
    await turns(4)
    del gathered, other, failing
    # Reports of the loop fail the test.
    gc.collect()


async def test_an_error_that_nobody_asks_for_is_reported(loop: Loop) -> None:
    reports: list[dict[str, Any]] = []
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: reports.append(context))
    try:
        gathered = rondel.gather(after_turns(0, LookupError("lost")))
        await turns(4)
        assert gathered.done()
        del gathered
        gc.collect()
    finally:
        loop.set_exception_handler(before)
    assert [report["message"] for report in reports] == [
        "_GatheringFuture exception was never retrieved"
    ]


@BOTH
async def test_the_tasks_it_makes_are_given_up_in_silence(loop: Loop, gather: Any) -> None:
    gathered = gather(forever(), forever())
    await turns(2)
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert len(tasks) == 2
    gone = [weakref.ref(task) for task in tasks]
    del gathered, tasks
    # Reports of the loop fail the test.
    gc.collect()
    await turns(1)
    gc.collect()
    assert [task() for task in gone] == [None, None]


@BOTH
async def test_a_cycle_through_it_is_collected(loop: Loop, gather: Any) -> None:
    future: Any = rondel.Future(loop=loop) if sys.version_info < (3, 14) else loop.create_future()
    gathered = gather(future, python_future(loop))
    gathered.itself = gathered
    gone = [weakref.ref(gathered), weakref.ref(future)]
    del gathered, future
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


async def test_nothing_is_kept_of_many_rounds(loop: Loop) -> None:
    class Result:
        pass

    async def result() -> Result:
        made = Result()
        alive.add(made)
        return made

    alive: weakref.WeakSet[Result] = weakref.WeakSet()
    for _ in range(50):
        assert len(await rondel.gather(*(result() for _ in range(20)))) == 20
    await turns(2)
    gc.collect()
    assert len(alive) == 0


@BOTH
async def test_callbacks_run_in_turn_with_others(loop: Loop, gather: Any) -> None:
    order: list[str] = []
    first, last = loop.create_future(), loop.create_future()
    gathered = gather(first, last)
    gathered.add_done_callback(lambda _: order.append("gathered"))
    first.set_result(1)
    loop.call_soon(order.append, "between")
    last.set_result(2)
    loop.call_soon(lambda: order.append("done" if gathered.done() else "pending"))
    await turns(1)
    assert order == ["between", "done"]
    await turns(1)
    assert order == ["between", "done", "gathered"]


@BOTH
async def test_a_gathering_can_be_gathered_waited_for_and_shielded(loop: Loop, gather: Any) -> None:
    inner = gather(after_turns(1, 1), after_turns(2, 2))
    shielded = asyncio.shield(gather(after_turns(1, 3)))
    assert await gather(inner, shielded, inner) == [[1, 2], [3], [1, 2]]
    nested = gather(gather(forever()), forever())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(nested, 0.001)
    assert await asyncio.wait_for(gather(after_turns(1, 4)), 60) == [4]


@BOTH
async def test_tasks_it_makes_have_the_callers_context(loop: Loop, gather: Any) -> None:
    variable = contextvars.ContextVar("variable", default=0)

    async def read() -> int:
        return variable.get()

    variable.set(1)
    assert await gather(read(), read()) == [1, 1]


@BOTH
async def test_a_callback_can_be_removed_from_a_child(loop: Loop, gather: Any) -> None:
    child = loop.create_future()
    gathered = gather(child)
    [(callback, _)] = child._callbacks
    assert child.remove_done_callback(callback) == 1
    child.set_result(1)
    await turns(3)
    assert not gathered.done()


async def test_a_loop_with_methods_of_its_own_is_asked(loop: Loop) -> None:
    made: list[str] = []
    real_task, real_soon = loop.create_task, loop.call_soon

    def create_task(coro: Any, **kwargs: Any) -> Any:
        made.append("task")
        return real_task(coro, **kwargs)

    def call_soon(callback: Any, *args: Any, context: Any = None) -> Any:
        if "_done_callback" in repr(callback):
            made.append("callback")
        return real_soon(callback, *args, context=context)

    loop.create_task, loop.call_soon = create_task, call_soon  # type: ignore[assignment,method-assign]
    try:
        assert await rondel.gather(after_turns(1, 1), after_turns(2, 2)) == [1, 2]
    finally:
        del loop.create_task, loop.call_soon
    assert made.count("task") == 2
    if isinstance(loop, rondel.Loop):
        assert made.count("callback") == 2


async def test_thousands_are_gathered(loop: Loop) -> None:
    results = await rondel.gather(*(after_turns(n % 3, n) for n in range(3000)))
    assert results == list(range(3000))


async def test_its_arguments_are_asyncios(loop: Loop) -> None:
    with pytest.raises(TypeError, match="gather"):
        rondel.gather(loop=loop)  # type: ignore[call-overload]
