"""Futures: states, callbacks, waiting, bridging to threads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import gc
import threading
import weakref
from typing import Any

import pytest
from support.leaks import Strays
from support.loops import Loop
from support.net import turns


async def test_create_future_makes_a_pending_future_of_this_loop(loop: Loop) -> None:
    future = loop.create_future()
    assert isinstance(future, asyncio.Future)
    assert asyncio.isfuture(future)
    assert future.get_loop() is loop
    assert not future.done()
    assert not future.cancelled()
    future.cancel()


async def test_a_result_is_given_once(loop: Loop) -> None:
    future = loop.create_future()
    future.set_result("value")
    assert future.done()
    assert future.result() == "value"
    assert future.exception() is None
    assert await future == "value"
    with pytest.raises(asyncio.InvalidStateError, match="invalid state"):
        future.set_result("again")
    with pytest.raises(asyncio.InvalidStateError, match="invalid state"):
        future.set_exception(LookupError())
    assert future.cancel() is False


async def test_a_pending_future_has_no_outcome_yet(loop: Loop) -> None:
    future = loop.create_future()
    with pytest.raises(asyncio.InvalidStateError, match=r"^Result is not set\.$"):
        future.result()
    with pytest.raises(asyncio.InvalidStateError, match=r"^Exception is not set\.$"):
        future.exception()
    future.cancel()


async def test_an_exception_is_raised_by_result_and_await(loop: Loop) -> None:
    future = loop.create_future()
    error = LookupError("gone")
    future.set_exception(error)
    assert future.exception() is error
    with pytest.raises(LookupError) as caught:
        future.result()
    assert caught.value is error
    with pytest.raises(LookupError):
        await future


async def test_an_exception_class_is_instantiated(loop: Loop) -> None:
    future = loop.create_future()
    future.set_exception(LookupError)
    assert isinstance(future.exception(), LookupError)


@pytest.mark.parametrize("wrong", [5, "error", None, object])
async def test_only_exceptions_are_accepted(loop: Loop, wrong: Any) -> None:
    future = loop.create_future()
    with pytest.raises(TypeError):
        future.set_exception(wrong)
    assert not future.done()
    future.cancel()


async def test_stop_iteration_cannot_be_a_futures_exception(loop: Loop) -> None:
    future = loop.create_future()
    try:
        future.set_exception(StopIteration())
    except TypeError:
        future.cancel()  # 3.11 refuses; newer Pythons wrap it in a RuntimeError
    else:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await future


async def test_cancel_carries_its_message(loop: Loop) -> None:
    future = loop.create_future()
    assert future.cancel(msg="enough") is True
    assert future.cancelled()
    assert future.done()
    assert future.cancel() is False
    for ask in (future.result, future.exception):
        with pytest.raises(asyncio.CancelledError) as caught:
            ask()
        assert caught.value.args in (("enough",), ())


async def test_callbacks_run_in_order_in_the_next_turn(loop: Loop) -> None:
    ran: list[object] = []
    future = loop.create_future()
    future.add_done_callback(lambda done: ran.append((1, done)))
    future.add_done_callback(lambda done: ran.append((2, done)))
    future.set_result(None)
    assert ran == []
    await asyncio.sleep(0)
    assert ran == [(1, future), (2, future)]


async def test_a_callback_added_after_the_end_runs_in_the_next_turn(loop: Loop) -> None:
    ran: list[object] = []
    future = loop.create_future()
    future.set_result(None)
    future.add_done_callback(ran.append)
    assert ran == []
    await asyncio.sleep(0)
    assert ran == [future]


async def test_callbacks_run_on_cancellation_too(loop: Loop) -> None:
    ran: list[object] = []
    future = loop.create_future()
    future.add_done_callback(ran.append)
    future.cancel()
    await asyncio.sleep(0)
    assert ran == [future]


async def test_removing_callbacks_returns_how_many_there_were(loop: Loop) -> None:
    ran: list[object] = []

    def other(done: object) -> None:
        ran.append("other")

    future = loop.create_future()
    assert future.remove_done_callback(other) == 0
    for callback in (ran.append, other, ran.append, ran.append):
        future.add_done_callback(callback)
    assert future.remove_done_callback(ran.append) == 3
    future.set_result(None)
    await asyncio.sleep(0)
    assert ran == ["other"]


async def test_callbacks_run_in_their_context(loop: Loop) -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="unset")
    seen: list[str] = []

    def note(done: object) -> None:
        seen.append(name.get())

    future = loop.create_future()
    given = contextvars.Context()
    given.run(name.set, "given")
    name.set("current")
    future.add_done_callback(note)
    future.add_done_callback(note, context=given)
    name.set("later")
    future.set_result(None)
    await asyncio.sleep(0)
    assert seen == ["current", "given"]


async def test_a_failing_callback_is_reported_and_the_others_run(loop: Loop, strays: Any) -> None:
    ran: list[object] = []
    future = loop.create_future()

    def fail(done: object) -> None:
        raise LookupError("callback")

    future.add_done_callback(fail)
    future.add_done_callback(ran.append)
    future.set_result(None)
    await asyncio.sleep(0)
    assert ran == [future]
    assert isinstance(strays.take_one()["exception"], LookupError)


async def test_the_only_callback_fails_as_one_of_many(loop: Loop, strays: Any) -> None:
    future = loop.create_future()

    def fail(done: object) -> None:
        raise LookupError("callback")

    future.add_done_callback(fail)
    future.set_result(None)
    await asyncio.sleep(0)
    context = strays.take_one()
    assert isinstance(context["exception"], LookupError)
    assert context["message"].startswith("Exception in callback test_the_only_callback_fails_as")
    assert isinstance(context["handle"], asyncio.Handle)
    assert "fail" in repr(context["handle"])


def test_an_exception_that_ends_the_run_leaves_the_callbacks_behind_it(loop: Loop) -> None:
    ran: list[object] = []
    futures = [loop.create_future() for _ in range(3)]

    def leave(done: object) -> None:
        raise SystemExit(3)

    for future, callback in zip(futures, (ran.append, leave, ran.append), strict=True):
        future.add_done_callback(callback)
        future.set_result(None)
    with pytest.raises(SystemExit):
        loop.run_forever()
    assert ran == futures[:1]
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert ran == [futures[0], futures[2]]


async def test_a_callback_that_is_to_be_called_is_no_longer_removed(loop: Loop) -> None:
    ran: list[object] = []
    future = loop.create_future()
    future.add_done_callback(ran.append)
    future.set_result(None)
    assert future.remove_done_callback(ran.append) == 0
    await asyncio.sleep(0)
    assert ran == [future]


async def test_a_future_that_nobody_keeps_calls_its_callback(loop: Loop) -> None:
    results: list[object] = []
    future = loop.create_future()
    future.add_done_callback(lambda done: results.append(done.result()))
    future.set_result("kept by the loop")
    del future
    gc.collect()
    await asyncio.sleep(0)
    assert results == ["kept by the loop"]


async def test_a_future_made_anew_calls_the_callbacks_of_both_its_lives(loop: Loop) -> None:
    ran: list[object] = []
    future = loop.create_future()
    future.add_done_callback(lambda done: ran.append("first"))
    future.set_result(None)
    future.__init__(loop=loop)  # type: ignore[misc]
    future.add_done_callback(lambda done: ran.append("second"))
    future.set_result(None)
    await asyncio.sleep(0)
    assert ran == ["first", "second"]


async def test_waiters_resume_in_the_order_of_their_waiting(loop: Loop) -> None:
    future = loop.create_future()
    order: list[int] = []

    async def wait(number: int) -> None:
        await future
        order.append(number)

    tasks = [loop.create_task(wait(number)) for number in range(20)]
    await asyncio.sleep(0)
    future.set_result(None)
    await asyncio.gather(*tasks)
    assert order == list(range(20))


async def test_awaiting_a_done_future_does_not_yield_to_the_loop(loop: Loop) -> None:
    ran: list[str] = []
    future = loop.create_future()
    future.set_result("ready")
    loop.call_soon(ran.append, "turn")
    assert await future == "ready"
    assert ran == []
    await turns()


async def test_a_waiter_resumes_in_the_turn_after_the_result(loop: Loop) -> None:
    future = loop.create_future()
    steps: list[str] = []

    async def wait() -> None:
        await future
        steps.append("resumed")

    task = loop.create_task(wait())
    await asyncio.sleep(0)
    future.set_result(None)
    steps.append("set")
    await asyncio.sleep(0)
    assert steps == ["set", "resumed"]
    await task


async def test_a_traceback_does_not_grow_with_each_await(loop: Loop) -> None:
    future = loop.create_future()
    future.set_exception(LookupError("once"))
    lengths: list[int] = []
    for _ in range(3):
        try:
            await future
        except LookupError as error:
            length, traceback = 0, error.__traceback__
            while traceback is not None:
                length, traceback = length + 1, traceback.tb_next
            lengths.append(length)
    assert lengths[0] == lengths[1] == lengths[2]


async def test_repr_tells_the_state(loop: Loop) -> None:
    loop.set_debug(False)
    future = loop.create_future()
    assert repr(future) == "<Future pending>"
    future.set_result([1])
    assert repr(future) == "<Future finished result=[1]>"
    failed = loop.create_future()
    failed.set_exception(LookupError("no"))
    assert repr(failed) == "<Future finished exception=LookupError('no')>"
    failed.exception()
    cancelled = loop.create_future()
    cancelled.cancel()
    assert repr(cancelled) == "<Future cancelled>"


async def test_futures_are_freed(loop: Loop) -> None:
    future = loop.create_future()
    future.add_done_callback(lambda done: None)
    alive = weakref.ref(future)
    future.set_result(None)
    await turns(2)
    del future
    gc.collect()
    assert alive() is None


async def test_a_future_in_a_cycle_is_freed(loop: Loop) -> None:
    future = loop.create_future()
    future.add_done_callback(lambda done, future=future: None)
    alive = weakref.ref(future)
    del future
    gc.collect()
    assert alive() is None


async def test_wrap_future_brings_in_a_threads_result(loop: Loop) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        wrapped = asyncio.wrap_future(pool.submit(threading.get_ident), loop=loop)
        assert isinstance(wrapped, asyncio.Future)
        assert await wrapped != threading.get_ident()


async def test_wrap_future_passes_cancellation_on(loop: Loop) -> None:
    outside: concurrent.futures.Future[None] = concurrent.futures.Future()
    wrapped = asyncio.wrap_future(outside)
    wrapped.cancel()
    await turns(2)
    assert outside.cancelled()


async def test_ensure_future_accepts_futures_coroutines_and_awaitables(loop: Loop) -> None:
    class Awaitable:
        def __await__(self) -> Any:
            return asyncio.sleep(0, "awaited").__await__()

    future = loop.create_future()
    assert asyncio.ensure_future(future) is future
    future.set_result("future")
    made = [asyncio.ensure_future(asyncio.sleep(0, "slept")), asyncio.ensure_future(Awaitable())]
    assert await asyncio.gather(future, *made) == ["future", "slept", "awaited"]
    with pytest.raises(TypeError, match="An asyncio.Future, a coroutine or an awaitable is req"):
        asyncio.ensure_future(5)  # type: ignore[arg-type]


async def test_a_future_is_iterable_with_yield_from_only(loop: Loop) -> None:
    future = loop.create_future()
    iterator = iter(future)  # type: ignore[call-overload]
    assert next(iterator) is future
    with pytest.raises(RuntimeError, match="await wasn't used with future"):
        next(iterator)
    future.cancel()


async def test_an_await_returns_whatever_the_result_is(loop: Loop) -> None:
    error = LookupError("a value")
    for result in (None, True, 7, "text", (), (1, 2), [3], error, StopIteration(4)):
        future = loop.create_future()
        loop.call_soon(future.set_result, result)
        assert await future is result


async def test_the_iterator_of_a_future_ends_with_the_result(loop: Loop) -> None:
    for result in (None, True, (), (1, 2), LookupError("a value")):
        future = loop.create_future()
        steps = iter(future)
        assert next(steps) is future
        future.set_result(result)
        with pytest.raises(StopIteration) as ended:
            next(steps)
        assert ended.value.value is result
        with pytest.raises(StopIteration) as ended:
            next(steps)
        assert ended.value.value is None


async def test_every_lost_exception_is_told_however_many_were_before(
    loop: Loop, strays: Strays
) -> None:
    for number in range(600):
        future = loop.create_future()
        future.set_exception(LookupError(number))
        del future
        asyncio.create_task(asyncio.sleep(0)).cancel()
        await asyncio.sleep(0)
    assert [context["exception"].args for context in strays.take()] == [(n,) for n in range(600)]


async def test_handles_and_futures_know_nothing_of_those_before_them(loop: Loop) -> None:
    for number in range(600):
        seen: list[int] = []
        handle = loop.call_soon(seen.append, number)
        if number % 3 == 0:
            handle.cancel()
        assert handle.cancelled() == (number % 3 == 0)
        future = loop.create_future()
        assert not future.done()
        assert not hasattr(future, "number")
        future.number = number  # type: ignore[attr-defined]
        loop.call_soon(future.cancel if number % 2 else future.set_result, number)
        await asyncio.wait([future])
        assert future.cancelled() == (number % 2 == 1)
        assert seen == ([] if number % 3 == 0 else [number])


def test_a_closed_loop_resumes_nobody(loop: Loop) -> None:
    future = loop.create_future()
    other = loop.create_future()
    called = loop.create_future()
    called.add_done_callback(lambda done: pytest.fail("called"))

    async def waits() -> None:
        await future

    async def main() -> asyncio.Task[None]:
        task = asyncio.create_task(waits())
        await asyncio.sleep(0)
        return task

    task = loop.run_until_complete(main())
    loop.close()
    for waited_for in (future, called):
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            waited_for.set_result(None)
        assert waited_for.done()
    other.set_result(None)
    assert future.done()
    assert not task.done()
    task._log_destroy_pending = False  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "result", [1, "text", (), (1, 2), ValueError("a result"), StopIteration(3)]
)
async def test_who_awaits_by_hand_is_told_the_result_by_stop_iteration(
    loop: Loop, result: object
) -> None:
    future: asyncio.Future[object] = loop.create_future()
    future.set_result(result)
    with pytest.raises(StopIteration) as told:
        next(future.__await__())
    assert told.value.value is result
    assert told.value.args == (result,)
    assert told.value.__context__ is None
    assert told.value.__cause__ is None
    handled = LookupError()
    try:
        raise handled
    except LookupError:
        with pytest.raises(StopIteration) as told:
            next(future.__await__())
    assert told.value.value is result
    assert told.value.__context__ is handled
