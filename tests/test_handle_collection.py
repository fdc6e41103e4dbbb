"""Handles in cycles: collected when nothing can run or reach them any more, and not before."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from support.loops import Loop, LoopFactory


class Keeper:
    """Keeps the handle of a call of its own method: a cycle."""

    handle: asyncio.Handle

    def __init__(self) -> None:
        self.calls = 0

    def call(self, *_: object) -> None:
        self.calls += 1

    def fail(self) -> None:
        raise ValueError(self)


def by_call_soon(loop: Loop, keeper: Keeper) -> None:
    keeper.handle = loop.call_soon(keeper.call)


def by_call_soon_threadsafe(loop: Loop, keeper: Keeper) -> None:
    keeper.handle = loop.call_soon_threadsafe(keeper.call)


def by_another_thread(loop: Loop, keeper: Keeper) -> None:
    thread = threading.Thread(target=by_call_soon_threadsafe, args=(loop, keeper))
    thread.start()
    thread.join()


WAYS = pytest.mark.parametrize(
    "schedule", [by_call_soon, by_call_soon_threadsafe, by_another_thread]
)
Schedule = Callable[[Loop, Keeper], None]


def after_a_run(loop_factory: LoopFactory, schedule: Schedule) -> tuple[Loop, Keeper]:
    """A loop at rest in whose queue a handle was left."""
    loop = loop_factory()
    loop.set_debug(False)
    keeper = Keeper()

    def schedule_and_stop() -> None:
        loop.stop()
        schedule(loop, keeper)

    loop.call_soon(schedule_and_stop)
    loop.run_forever()
    return loop, keeper


@pytest.fixture
def loop(loop: Loop) -> Loop:
    loop.set_debug(False)  # handles of debug mode are asyncio's own
    return loop


@WAYS
async def test_a_handle_in_a_cycle_is_collected_once_it_has_run(
    loop: Loop, schedule: Schedule
) -> None:
    keeper = Keeper()
    schedule(loop, keeper)
    while not keeper.calls:
        await asyncio.sleep(0)
    gone = weakref.ref(keeper)
    del keeper
    gc.collect()
    assert gone() is None


@WAYS
async def test_a_cancelled_handle_in_a_cycle_is_collected(loop: Loop, schedule: Schedule) -> None:
    keeper = Keeper()
    schedule(loop, keeper)
    keeper.handle.cancel()
    gone = weakref.ref(keeper)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not keeper.calls
    del keeper
    gc.collect()
    assert gone() is None


@WAYS
async def test_what_waits_in_the_queue_is_not_collected(loop: Loop, schedule: Schedule) -> None:
    keeper = Keeper()
    schedule(loop, keeper)
    gone = weakref.ref(keeper)
    del keeper
    gc.collect()
    left = gone()
    assert left is not None
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert left.calls == 1


@WAYS
def test_an_open_loop_is_collected_with_the_handles_that_a_run_left(
    loop_factory: LoopFactory, schedule: Schedule
) -> None:
    loop, keeper = after_a_run(loop_factory, schedule)
    assert not keeper.calls
    alive: list[weakref.ref[Any]] = [weakref.ref(loop), weakref.ref(keeper)]
    loop_factory.made.clear()
    del loop, keeper
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        gc.collect()
    assert [kept() for kept in alive] == [None, None]


def test_an_open_loop_is_collected_with_the_handles_of_a_run_that_broke_off(
    loop_factory: LoopFactory,
) -> None:
    loop = loop_factory()
    loop.set_debug(False)
    breaking, waiting = Keeper(), Keeper()

    def break_off() -> None:
        raise SystemExit

    breaking.handle = loop.call_soon(break_off)
    by_call_soon(loop, waiting)
    with pytest.raises(SystemExit):
        loop.run_forever()
    assert not waiting.calls
    alive: list[weakref.ref[Any]] = [weakref.ref(loop), weakref.ref(breaking), weakref.ref(waiting)]
    loop_factory.made.clear()
    del loop, breaking, waiting
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        gc.collect()
    assert [kept() for kept in alive] == [None, None, None]


@WAYS
def test_a_handle_that_is_kept_keeps_its_loop_and_its_callback(
    loop_factory: LoopFactory, schedule: Schedule
) -> None:
    loop, keeper = after_a_run(loop_factory, schedule)
    handle = keeper.handle
    alive: list[weakref.ref[Any]] = [weakref.ref(loop), weakref.ref(keeper)]
    del loop, keeper
    loop_factory.made.clear()
    gc.collect()
    kept_loop, kept_keeper = alive[0](), alive[1]()
    assert isinstance(kept_loop, asyncio.AbstractEventLoop)
    assert isinstance(kept_keeper, Keeper)
    kept_loop.call_soon(kept_loop.stop)
    kept_loop.run_forever()
    assert kept_keeper.calls == 1
    kept_loop.close()
    del handle


async def test_a_handle_that_fails_and_is_kept_by_the_report_is_collected(
    loop: Loop,
) -> None:
    reported: list[asyncio.Handle] = []
    keeper = Keeper()
    loop.set_exception_handler(lambda _, context: reported.append(context["handle"]))
    loop.call_soon(keeper.fail)
    while not reported:
        await asyncio.sleep(0)
    keeper.handle = reported.pop()
    loop.set_exception_handler(None)
    gone = weakref.ref(keeper)
    del keeper
    gc.collect()
    assert gone() is None
