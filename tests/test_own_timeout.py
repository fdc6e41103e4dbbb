"""What is particular to Rondel's own timeouts.

Their behaviour as asyncio's is proven by CPython's own tests (``conformance.synchronisation``).
"""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from decimal import Decimal
from typing import Any

import pytest
import rondel
from support.loops import Loop, LoopFactory


async def test_a_timeout_is_asyncios_as_far_as_isinstance_can_tell(loop: Loop) -> None:
    assert isinstance(rondel.timeout(1), asyncio.Timeout)
    assert repr(rondel.timeout(1)) == "<Timeout [created]>"


async def test_a_block_that_takes_too_long_is_cancelled(loop: Loop) -> None:
    forever = loop.create_future()
    with pytest.raises(TimeoutError) as caught:
        async with rondel.timeout(0.01) as limit:
            await forever
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert caught.value.__context__ is caught.value.__cause__
    assert limit.expired()
    assert forever.cancelled()
    task: Any = asyncio.current_task()
    assert task.cancelling() == 0


@pytest.mark.parametrize("late", [0, -1, 0.0, Decimal(0)])
async def test_a_time_that_is_up_ends_the_block_at_its_first_await(loop: Loop, late: Any) -> None:
    limit = rondel.timeout(None)
    reached = False
    with pytest.raises(TimeoutError):
        async with limit:
            limit.reschedule(loop.time() + float(late))
            reached = True
            await asyncio.sleep(10)
    assert reached


async def test_the_inner_timeout_does_not_take_the_outer_ones_cancellation(loop: Loop) -> None:
    with pytest.raises(TimeoutError):
        async with rondel.timeout(0.01) as outer, rondel.timeout(60) as inner:
            await loop.create_future()
    assert (outer.expired(), inner.expired()) == (True, False)


async def test_ours_and_asyncios_nest(loop: Loop) -> None:
    kinds: list[tuple[Any, Any]] = [
        (rondel.timeout, asyncio.timeout),
        (asyncio.timeout, rondel.timeout),
    ]
    for outer, inner in kinds:
        async with outer(60) as outer_limit:
            with pytest.raises(TimeoutError):
                async with inner(0.001):
                    await loop.create_future()
        assert not outer_limit.expired()


async def test_a_timeout_that_was_put_off_when_it_was_due_does_not_fire(loop: Loop) -> None:
    async with rondel.timeout_at(loop.time() - 1) as limit:
        # The entry that ends the block waits in the ready queue.
        limit.reschedule(loop.time() + 60)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not limit.expired()


async def test_a_timeout_that_was_given_up_when_it_was_due_does_not_fire(loop: Loop) -> None:
    async with rondel.timeout_at(loop.time() - 1) as limit:
        limit.reschedule(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert limit.when() is None
    assert not limit.expired()


async def test_a_block_that_ends_before_its_time_leaves_no_timer(loop: Loop) -> None:
    async with rondel.timeout(60) as limit:
        pass
    gone = weakref.ref(limit)
    del limit
    gc.collect()
    assert gone() is None


async def test_a_cancellation_from_outside_is_not_made_a_timeout(loop: Loop) -> None:
    async def block() -> None:
        async with rondel.timeout(60):
            await loop.create_future()

    task = loop.create_task(block())
    await asyncio.sleep(0)
    task.cancel("from outside")
    with pytest.raises(asyncio.CancelledError, match="from outside"):
        await task


async def test_a_timeout_is_entered_once_and_in_order(loop: Loop) -> None:
    limit = rondel.timeout(60)
    with pytest.raises(RuntimeError, match="^Timeout has not been entered$"):
        limit.reschedule(None)
    async with limit:
        assert repr(limit).startswith("<Timeout [active] when=")
        with pytest.raises(RuntimeError, match="^Timeout has already been entered$"):
            await limit.__aenter__()
    assert repr(limit) == "<Timeout [finished]>"
    with pytest.raises(RuntimeError, match="^Cannot change state of finished Timeout$"):
        limit.reschedule(None)


def test_a_timeout_needs_a_loop_and_a_task() -> None:
    with pytest.raises(RuntimeError, match="^no running event loop$"):
        rondel.timeout(1)
    enter = rondel.timeout_at(None).__aenter__()
    with pytest.raises(RuntimeError, match="^no running event loop$"):
        enter.send(None)


def test_outside_a_task_a_timeout_is_refused(loop_factory: LoopFactory) -> None:
    refused: list[BaseException] = []

    def callback() -> None:
        try:
            rondel.timeout(1).__aenter__().send(None)
        except RuntimeError as error:
            refused.append(error)

    loop = loop_factory()
    loop.call_soon(callback)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert [str(error) for error in refused] == ["Timeout should be used inside a task"]


async def test_a_loop_with_a_clock_of_its_own_is_asked(loop: Loop) -> None:
    real = loop.time
    loop.time = lambda: real() + 1000  # type: ignore[method-assign]
    try:
        async with rondel.timeout(60) as limit:
            when = limit.when()
            assert when is not None
            assert 1050 < when - real() <= 1060
    finally:
        del loop.time


@pytest.mark.skipif(sys.version_info < (3, 13), reason="asyncio's timeouts do so from 3.13 on")
async def test_an_error_during_the_cancellation_tells_of_the_timeout(loop: Loop) -> None:
    with pytest.raises(ValueError, match="during") as caught:
        async with rondel.timeout(0.001):
            try:
                await loop.create_future()
            finally:
                raise ValueError("during the cancellation")
    context = caught.value.__context__
    assert isinstance(context, TimeoutError)
    assert isinstance(context.__cause__, asyncio.CancelledError)


async def test_to_have_no_deadline_asks_for_no_loop(loop: Loop) -> None:
    async with rondel.timeout(0.001) as limit:
        await asyncio.to_thread(limit.reschedule, None)
        assert limit.when() is None
        await asyncio.sleep(0.01)
