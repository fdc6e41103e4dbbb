"""Eager tasks, which take their first step at once (Python 3.12 and newer)."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from support.loops import Loop
from support.net import turns

if sys.version_info < (3, 12):
    pytest.skip("eager tasks came with Python 3.12", allow_module_level=True)


@pytest.fixture
def eager(loop: Loop) -> Loop:
    """The loop, with the eager task factory."""
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop


async def test_an_eager_task_that_never_waits_is_done_at_once(eager: Loop, loop: Loop) -> None:
    async def answer() -> int:
        return 42

    task = asyncio.create_task(answer())
    assert task.done()
    assert task.result() == 42
    assert isinstance(task, asyncio.Task)


async def test_an_eager_task_runs_to_its_first_wait(eager: Loop, loop: Loop) -> None:
    steps: list[str] = []

    async def walk() -> str:
        steps.append("first")
        await asyncio.sleep(0)
        steps.append("second")
        return "done"

    task = asyncio.create_task(walk())
    assert steps == ["first"]
    assert not task.done()
    assert await task == "done"


async def test_an_eager_task_that_fails_at_once_holds_its_error(eager: Loop, loop: Loop) -> None:
    async def fail() -> None:
        raise LookupError("at once")

    task = asyncio.create_task(fail())
    assert task.done()
    with pytest.raises(LookupError, match="at once"):
        await task


async def test_the_current_task_is_restored_after_the_eager_step(eager: Loop, loop: Loop) -> None:
    outer = asyncio.current_task()
    seen: list[asyncio.Task[Any] | None] = []

    async def ask() -> None:
        seen.append(asyncio.current_task())
        await asyncio.sleep(0)
        seen.append(asyncio.current_task())

    task = asyncio.create_task(ask())
    assert asyncio.current_task() is outer
    await task
    assert seen == [task, task]
    assert task is not outer


async def test_an_eager_task_that_waits_is_among_all_tasks(eager: Loop, loop: Loop) -> None:
    waiting = asyncio.create_task(asyncio.sleep(3600))
    assert waiting in asyncio.all_tasks()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting not in asyncio.all_tasks()


async def test_an_eager_task_can_be_cancelled(eager: Loop, loop: Loop) -> None:
    waiting = asyncio.create_task(asyncio.sleep(3600))
    waiting.cancel("stop")
    with pytest.raises(asyncio.CancelledError, match="stop"):
        await waiting


async def test_groups_and_gather_work_with_eager_tasks(eager: Loop, loop: Loop) -> None:
    async def value(number: int, wait: bool) -> int:
        if wait:
            await asyncio.sleep(0)
        return number

    numbers = await asyncio.gather(*(value(n, n % 2 == 0) for n in range(10)))
    assert numbers == list(range(10))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(value(n, n % 2 == 1)) for n in range(10)]
    assert [task.result() for task in tasks] == list(range(10))


async def test_a_custom_eager_factory_makes_its_own_kind(loop: Loop) -> None:
    class Marked(asyncio.Task):  # type: ignore[type-arg]
        pass

    loop.set_task_factory(asyncio.create_eager_task_factory(Marked))

    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    task = asyncio.create_task(answer())
    assert type(task) is Marked
    assert await task == 42


async def test_many_eager_tasks_interleave(eager: Loop, loop: Loop) -> None:
    order: list[tuple[int, int]] = []

    async def walk(name: int) -> None:
        for step in range(3):
            order.append((step, name))
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(walk(name)) for name in range(5)]
    assert order == [(0, name) for name in range(5)]
    await asyncio.gather(*tasks)
    assert order == [(step, name) for step in range(3) for name in range(5)]
    await turns()


@pytest.mark.skipif(sys.version_info < (3, 14), reason="eager_start came with Python 3.14")
async def test_a_single_task_can_be_started_eagerly(loop: Loop) -> None:
    steps: list[str] = []

    async def walk() -> str:
        steps.append("first")
        await asyncio.sleep(0)
        return "done"

    task = loop.create_task(walk(), eager_start=True, name="walker")
    assert steps == ["first"]
    assert task.get_name() == "walker"
    assert await task == "done"


@pytest.mark.skipif(sys.version_info < (3, 14), reason="eager_start came with Python 3.14")
async def test_a_single_task_can_be_kept_from_starting_eagerly(eager: Loop, loop: Loop) -> None:
    steps: list[str] = []

    async def walk() -> None:
        steps.append("first")

    task = asyncio.create_task(walk(), eager_start=False)
    assert steps == []
    await task
    assert steps == ["first"]
