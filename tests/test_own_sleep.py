"""What is particular to Rondel's own ``sleep``.

Its behaviour as asyncio's is proven by CPython's own tests (``conformance.synchronisation``).
"""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
import rondel
from support.loops import Loop


@pytest.mark.parametrize("sleep", [rondel.sleep, asyncio.sleep])
@pytest.mark.parametrize("delay", [0, 0.0, -1, -0.5, False, Decimal(0), float("-inf")])
async def test_no_time_is_one_turn_of_the_loop(loop: Loop, delay: Any, sleep: Any) -> None:
    turns: list[int] = []
    loop.call_soon(lambda: turns.append(1))
    loop.call_soon(lambda: loop.call_soon(lambda: turns.append(2)))
    assert await sleep(delay, "result") == "result"
    assert turns == [1]


@pytest.mark.parametrize("given", [(), ("result",)])
@pytest.mark.parametrize("delay", [0.02, Fraction(1, 50)])
async def test_it_takes_the_time_and_returns_the_result(
    loop: Loop, delay: Any, given: tuple[Any, ...]
) -> None:
    began = loop.time()
    assert await rondel.sleep(delay, *given) == (given[0] if given else None)
    assert loop.time() - began >= 0.02


async def test_the_arguments_may_be_named(loop: Loop) -> None:
    assert await rondel.sleep(delay=0, result=1) == 1
    with pytest.raises(TypeError, match="sleep"):
        rondel.sleep()  # type: ignore[call-overload]


@pytest.mark.parametrize("delay", [None, "1", 1j])
async def test_what_is_no_number_is_refused_when_it_is_awaited(loop: Loop, delay: Any) -> None:
    sleep = rondel.sleep(delay)
    with pytest.raises(TypeError, match=r"^'<=' not supported between instances of "):
        await sleep


async def test_too_large_a_number_is_refused(loop: Loop) -> None:
    with pytest.raises(OverflowError, match="int too large to convert to float"):
        await rondel.sleep(10**400)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="asyncio refuses NaN from 3.13 on")
async def test_what_is_not_a_number_is_refused(loop: Loop) -> None:
    with pytest.raises(ValueError, match=r"^Invalid delay: NaN \(not a number\)$"):
        await rondel.sleep(float("nan"))


@pytest.mark.parametrize("given", [(), ("result",)])
async def test_who_is_cancelled_leaves_no_timer(loop: Loop, given: tuple[Any, ...]) -> None:
    async def sleeper() -> None:
        await rondel.sleep(3600, *given)

    task = loop.create_task(sleeper())
    await asyncio.sleep(0)
    waits_for = weakref.ref(task._fut_waiter)  # type: ignore[attr-defined]
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await task
    del task
    gc.collect()
    assert waits_for() is None


async def test_cancelled_when_the_time_was_up_it_is_cancelled_as_asyncios(loop: Loop) -> None:
    for sleep in (asyncio.sleep, rondel.sleep):
        task: asyncio.Task[str] = loop.create_task(sleep(0.001, "result"))
        await asyncio.sleep(0)
        waits_for = task._fut_waiter  # type: ignore[attr-defined]
        waits_for.add_done_callback(lambda _: task.cancel())
        await asyncio.wait([task])
        # The task was to go on already, ahead of the callback.
        assert (task.cancelled(), task.done()) == (False, True)
        assert task.result() == "result"


async def test_a_timeout_ends_it(loop: Loop) -> None:
    with pytest.raises(TimeoutError):
        async with rondel.timeout(0.001):
            await rondel.sleep(3600)


def test_without_a_loop_it_is_a_turn_or_an_error() -> None:
    turn = rondel.sleep(0, "result")
    assert turn.send(None) is None
    with pytest.raises(StopIteration, match="result"):
        turn.send(None)
    with pytest.raises(RuntimeError, match="^no running event loop$"):
        rondel.sleep(1).send(None)


@pytest.mark.parametrize("delay", [0, 1])
def test_it_is_a_coroutine_that_has_to_be_awaited(delay: float) -> None:
    sleep = rondel.sleep(delay)
    assert asyncio.iscoroutine(sleep)
    assert sleep.__name__ == sleep.__qualname__ == "sleep"
    assert repr(sleep).startswith("<coroutine object sleep at ")
    with pytest.raises(TypeError, match="can't send non-None value to a just-started coroutine"):
        sleep.send(1)
    with pytest.warns(RuntimeWarning, match="coroutine 'sleep' was never awaited"):
        del sleep
    rondel.sleep(delay).close()


async def test_a_turn_can_be_thrown_into_and_closed(loop: Loop) -> None:
    turn = rondel.sleep(0)
    turn.send(None)
    with pytest.raises(LookupError):
        turn.throw(LookupError())
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        turn.send(None)
    turn = rondel.sleep(0)
    turn.send(None)
    turn.close()
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        turn.send(None)


async def test_one_that_is_closed_leaves_no_timer(loop: Loop) -> None:
    sleep = rondel.sleep(3600)
    waits_for = weakref.ref(sleep.send(None))
    sleep.close()
    del sleep
    gc.collect()
    assert waits_for() is None


async def test_one_that_holds_itself_is_collected(loop: Loop) -> None:
    class Result:
        sleep: Any

    closed, began = Result(), Result()
    closed.sleep = rondel.sleep(3600, closed)
    closed.sleep.close()
    began.sleep = rondel.sleep(0, began)
    began.sleep.send(None)
    gone = [weakref.ref(closed), weakref.ref(began)]
    del closed, began
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


@pytest.mark.parametrize("given", [(), ("result",)])
async def test_a_loop_with_a_call_later_of_its_own_is_asked(
    loop: Loop, given: tuple[Any, ...]
) -> None:
    calls: list[tuple[Any, ...]] = []
    real = loop.call_later

    def call_later(delay: float, callback: Any, *args: Any) -> Any:
        calls.append((delay, *args[1:]))
        return real(0, callback, *args)

    loop.call_later = call_later  # type: ignore[method-assign,assignment]
    try:
        assert await rondel.sleep(3600, *given) == (given[0] if given else None)
    finally:
        del loop.call_later
    assert calls == [(3600, given[0] if given else None)]


async def test_who_has_a_future_of_the_wait_sees_the_result_in_it(loop: Loop) -> None:
    task: asyncio.Task[str] = loop.create_task(rondel.sleep(0.001, "result"))
    await asyncio.sleep(0)
    waits_for = task._fut_waiter  # type: ignore[attr-defined]
    assert await waits_for == "result"
    assert await task == "result"


async def test_the_future_of_the_wait_may_be_done_by_somebody_else(loop: Loop) -> None:
    task: asyncio.Task[None] = loop.create_task(rondel.sleep(3600))
    await asyncio.sleep(0)
    task._fut_waiter.set_result("early")  # type: ignore[attr-defined]
    assert await task == "early"  # type: ignore[func-returns-value]


async def test_thousands_sleep_at_the_same_time(loop: Loop) -> None:
    tasks = [loop.create_task(rondel.sleep(0.001 * (n % 5), n)) for n in range(2000)]
    assert await asyncio.gather(*tasks) == list(range(2000))
