"""Rondel's own tasks and futures: what distinguishes them from asyncio's, and what must not."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import Callable, Generator
from typing import Any

import pytest
import rondel
from support.loops import STDLIB, Loop

if sys.version_info >= (3, 14):
    pytest.skip(
        "from 3.14 on loops make asyncio's tasks, which its call graphs know",
        allow_module_level=True,
    )


@pytest.fixture(autouse=True)
def _on_rondel_alone(request: pytest.FixtureRequest) -> None:
    if request.getfixturevalue("loop_kind") == STDLIB:
        pytest.skip("tests of Rondel's own classes")


async def nothing() -> None:
    """A coroutine."""


class Forgetful:
    """A future that does not remember who waits for it."""

    _asyncio_future_blocking = False

    def __init__(self, loop: Loop) -> None:
        self.get_loop = lambda: loop

    def __await__(self) -> Generator[Any, None, None]:
        self._asyncio_future_blocking = True
        yield self

    def add_done_callback(self, callback: Any, *, context: Any) -> None:
        pass


async def test_the_loop_makes_rondels_tasks_and_futures(loop: Loop) -> None:
    future, task = loop.create_future(), loop.create_task(nothing())
    assert type(future) is rondel.Future
    assert type(task) is rondel.Task
    assert issubclass(rondel.Task, rondel.Future)
    future.cancel()
    await task


async def test_subclasses_go_by_their_own_name_and_are_asyncios_by_isinstance(loop: Loop) -> None:
    my_task: Any = type("MyTask", (rondel.Task,), {})
    my_future: Any = type("MyFuture", (rondel.Future,), {})
    task, future = my_task(nothing(), loop=loop), my_future(loop=loop)
    assert isinstance(task, asyncio.Task)
    assert isinstance(future, asyncio.Future)
    assert repr(task).startswith("<MyTask pending name=")
    assert repr(future).startswith("<MyFuture pending")
    future.set_result(None)
    await task
    await future


async def test_a_task_factory_makes_the_tasks_until_it_is_removed(loop: Loop) -> None:
    def factory(loop: Any, coro: Any, **kwargs: Any) -> Any:
        return asyncio.tasks._PyTask(coro, loop=loop, **kwargs)  # type: ignore[attr-defined]

    loop.set_task_factory(factory)
    task = loop.create_task(nothing(), name="made elsewhere")
    assert type(task) is not rondel.Task
    assert task.get_name() == "made elsewhere"
    await task
    loop.set_task_factory(None)
    own = loop.create_task(nothing())
    assert type(own) is rondel.Task
    await own


@pytest.mark.parametrize("where", ["class", "instance"])
def test_an_overridden_call_soon_is_called_for_every_step(
    loop: Loop, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts: list[object] = []
    original: Callable[..., Any] = type(loop).call_soon

    def call_soon(self: Any, callback: Any, *args: Any, context: Any = None) -> Any:
        contexts.append(context)
        return original(self, callback, *args, context=context)

    async def steps() -> str:
        await asyncio.sleep(0)
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, "done")
        return str(await future)

    if where == "class":
        watching = type("Watching", (type(loop),), {"call_soon": call_soon})()
    else:
        watching = type(loop)()
        watching.call_soon = call_soon.__get__(watching)
    try:
        assert watching.run_until_complete(steps()) == "done"
    finally:
        watching.close()
    # Two steps by hand, a wake-up, set_result; done callbacks of run_until_complete come on top.
    assert len(contexts) >= 4


async def test_no_task_is_current_in_what_runs_between_the_steps_of_tasks(loop: Loop) -> None:
    seen: list[object] = []

    async def stepping() -> None:
        for _ in range(50):
            loop.call_soon(lambda: seen.append(asyncio.current_task()))
            assert asyncio.current_task() is not None
            await asyncio.sleep(0)

    tasks = [loop.create_task(stepping()) for _ in range(3)]
    for task in tasks:
        await task
    assert len(seen) == 150
    assert set(seen) == {None}


async def test_each_task_is_current_in_its_own_steps(loop: Loop) -> None:
    async def stepping() -> None:
        own = asyncio.current_task()
        for _ in range(50):
            await asyncio.sleep(0)
            assert asyncio.current_task() is own

    await asyncio.gather(*(stepping() for _ in range(3)))


def test_no_task_is_current_after_a_run(loop: Loop) -> None:
    loop.run_until_complete(asyncio.sleep(0))
    assert asyncio.current_task(loop) is None


def test_a_long_chain_of_futures_is_given_up_without_a_deep_stack(loop: Loop) -> None:
    loop.set_debug(False)  # every future would remember its whole stack
    last = None
    for _ in range(100_000):
        future = loop.create_future()
        future.set_result(last)
        last = future
    assert last is not None
    gone = weakref.ref(last)
    del future, last
    assert gone() is None


def test_a_future_in_a_cycle_is_collected(loop: Loop) -> None:
    future: Any = loop.create_future()
    future.itself = future
    future.add_done_callback(lambda _, kept=future: kept)
    gone = weakref.ref(future)
    del future
    gc.collect()
    assert gone() is None


async def test_tasks_that_are_done_are_not_kept(loop: Loop) -> None:
    tasks = [loop.create_task(nothing()) for _ in range(100)]
    gone = [weakref.ref(task) for task in tasks]
    await asyncio.wait(tasks)
    del tasks
    # The task that ran last is given up when something else runs.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()
    assert [task() for task in gone] == [None] * 100


def test_nobody_comes_by_a_task_that_is_being_deallocated(loop: Loop) -> None:
    found: list[set[asyncio.Task[Any]]] = []

    class Silent(rondel.Task[None]):
        def __del__(self) -> None:
            """Leaves out what a task says that is lost."""

    async def wait() -> None:
        await Forgetful(loop)

    task = Silent(wait(), loop=loop)
    loop.run_until_complete(asyncio.sleep(0))
    assert asyncio.all_tasks(loop) == {task}
    # Called when there are no references left, but the object is there.
    gone = weakref.ref(task, lambda _: found.append(asyncio.all_tasks(loop)))
    del task
    assert gone() is None
    assert found == [set()]


async def test_asyncio_and_rondel_wait_for_each_other(loop: Loop) -> None:
    async def wait_for(awaitable: Any) -> Any:
        return await awaitable

    foreign: asyncio.Future[str] = asyncio.Future(loop=loop)
    own = loop.create_future()
    ours = loop.create_task(wait_for(foreign))
    theirs: asyncio.Task[str] = asyncio.Task(wait_for(own), loop=loop)
    await asyncio.sleep(0)
    foreign.set_result("asyncio's")
    own.set_result("Rondel's")
    assert await ours == "asyncio's"
    assert await theirs == "Rondel's"
    assert await loop.create_task(wait_for(theirs)) == "Rondel's"
    assert await asyncio.Task(wait_for(ours), loop=loop) == "asyncio's"
