"""gather, wait, as_completed, wait_for, timeout, shield and task groups on the loop."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from support.loops import Loop
from support.net import turns


async def after_turns(count: int, value: Any = None) -> Any:
    await turns(count)
    if isinstance(value, BaseException):
        raise value
    return value


# gather


async def test_gather_keeps_the_order_of_its_arguments(loop: Loop) -> None:
    results = await asyncio.gather(*(after_turns(10 - number, number) for number in range(10)))
    assert results == list(range(10))


async def test_gather_of_nothing(loop: Loop) -> None:
    assert await asyncio.gather() == []


async def test_gather_raises_the_first_error_and_lets_the_rest_run(loop: Loop) -> None:
    rest = loop.create_task(after_turns(5, "rest"))
    with pytest.raises(LookupError, match="first"):
        await asyncio.gather(rest, after_turns(1, LookupError("first")))
    assert await rest == "rest"


async def test_gather_can_return_errors(loop: Loop) -> None:
    error = LookupError("returned")
    results = await asyncio.gather(after_turns(1, 1), after_turns(2, error), return_exceptions=True)
    assert results == [1, error]


async def test_cancelling_gather_cancels_its_children(loop: Loop) -> None:
    children = [loop.create_task(asyncio.sleep(3600)) for _ in range(5)]
    gathered = asyncio.gather(*children)
    await asyncio.sleep(0)
    gathered.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gathered
    assert all(child.cancelled() for child in children)


async def test_gather_takes_one_coroutine_twice(loop: Loop) -> None:
    task = loop.create_task(after_turns(2, "same"))
    assert await asyncio.gather(task, task) == ["same", "same"]


# wait and as_completed


async def test_wait_for_all(loop: Loop) -> None:
    tasks = [loop.create_task(after_turns(count)) for count in range(5)]
    done, pending = await asyncio.wait(tasks)
    assert done == set(tasks)
    assert pending == set()


async def test_wait_for_the_first(loop: Loop) -> None:
    quick = loop.create_task(after_turns(1, "quick"))
    slow = loop.create_task(asyncio.sleep(3600))
    done, pending = await asyncio.wait([quick, slow], return_when=asyncio.FIRST_COMPLETED)
    assert (done, pending) == ({quick}, {slow})
    slow.cancel()


async def test_wait_for_the_first_error(loop: Loop) -> None:
    fine = loop.create_task(after_turns(1, "fine"))
    bad = loop.create_task(after_turns(3, LookupError()))
    slow = loop.create_task(asyncio.sleep(3600))
    done, pending = await asyncio.wait([fine, bad, slow], return_when=asyncio.FIRST_EXCEPTION)
    assert (done, pending) == ({fine, bad}, {slow})
    assert isinstance(bad.exception(), LookupError)
    slow.cancel()


async def test_wait_gives_up_after_its_timeout(loop: Loop) -> None:
    slow = loop.create_task(asyncio.sleep(3600))
    done, pending = await asyncio.wait([slow], timeout=0.001)
    assert (done, pending) == (set(), {slow})
    slow.cancel()


async def test_as_completed_yields_in_the_order_of_completion(loop: Loop) -> None:
    coroutines = [after_turns(3 * count, count) for count in (3, 1, 2, 0)]
    results = [await finished for finished in asyncio.as_completed(coroutines)]
    assert results == [0, 1, 2, 3]


async def test_as_completed_times_out(loop: Loop) -> None:
    slow = loop.create_task(asyncio.sleep(3600))
    with pytest.raises(TimeoutError):
        for finished in asyncio.as_completed([slow], timeout=0.001):
            await finished
    slow.cancel()


# Timeouts


async def test_wait_for_returns_in_time(loop: Loop) -> None:
    assert await asyncio.wait_for(after_turns(3, "in time"), 30) == "in time"
    assert await asyncio.wait_for(after_turns(3, "no limit"), None) == "no limit"


async def test_wait_for_cancels_what_is_late(loop: Loop) -> None:
    ended: list[str] = []

    async def late() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("cleaned up")

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(late(), 0.001)
    assert ended == ["cleaned up"]


async def test_wait_for_zero_takes_what_is_done_only(loop: Loop) -> None:
    done = loop.create_future()
    done.set_result("done")
    assert await asyncio.wait_for(done, 0) == "done"
    pending = loop.create_future()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pending, 0)
    assert pending.cancelled()


async def test_timeout_raises_and_tells_that_it_expired(loop: Loop) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001) as limit:
            await asyncio.sleep(3600)
    assert limit.expired()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_timeout_can_be_moved(loop: Loop) -> None:
    async with asyncio.timeout(0.001) as limit:
        limit.reschedule(loop.time() + 3600)
        await asyncio.sleep(0.005)
    assert not limit.expired()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit:
            limit.reschedule(loop.time() - 1)
            await asyncio.sleep(3600)


async def test_timeout_at_a_point_in_time(loop: Loop) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout_at(loop.time() + 0.001):
            await loop.create_future()


async def test_the_inner_of_nested_timeouts_fires(loop: Loop) -> None:
    async with asyncio.timeout(3600) as outer:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001) as inner:
                await asyncio.sleep(3600)
    assert inner.expired()
    assert not outer.expired()


async def test_a_cancel_from_outside_is_not_taken_for_a_timeout(loop: Loop) -> None:
    async def wait() -> None:
        async with asyncio.timeout(3600):
            await asyncio.sleep(3600)

    task = loop.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# shield


async def test_shield_keeps_cancellation_from_what_it_wraps(loop: Loop) -> None:
    inner = loop.create_task(after_turns(5, "finished"))
    outer = asyncio.shield(inner)
    await asyncio.sleep(0)
    outer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await outer
    assert await inner == "finished"


async def test_shield_passes_results_and_errors_through(loop: Loop) -> None:
    assert await asyncio.shield(after_turns(2, 7)) == 7
    with pytest.raises(LookupError):
        await asyncio.shield(after_turns(2, LookupError()))


# Task groups


async def test_a_group_waits_for_all_its_tasks(loop: Loop) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(after_turns(count, count)) for count in range(5)]
    assert [task.result() for task in tasks] == list(range(5))


async def test_a_group_cancels_the_others_when_one_fails(loop: Loop) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            slow = group.create_task(asyncio.sleep(3600))
            group.create_task(after_turns(2, LookupError("failed")))
    assert [type(error) for error in caught.value.exceptions] == [LookupError]
    assert slow.cancelled()


async def test_a_group_collects_every_error(loop: Loop) -> None:
    async def fail_when_cancelled() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            raise ValueError("clean-up")

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail_when_cancelled())
            group.create_task(after_turns(2, LookupError("first")))
    kinds = sorted(type(error).__name__ for error in caught.value.exceptions)
    assert kinds == ["LookupError", "ValueError"]


async def test_a_groups_body_that_fails_cancels_its_tasks(loop: Loop) -> None:
    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(asyncio.sleep(3600))
            await asyncio.sleep(0)
            raise LookupError("body")
    assert task.cancelled()


async def test_a_cancelled_group_cancels_its_tasks_and_passes_it_on(loop: Loop) -> None:
    children: list[asyncio.Task[Any]] = []

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            children.append(group.create_task(asyncio.sleep(3600)))

    task = loop.create_task(run())
    await turns(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children[0].cancelled()


async def test_tasks_of_a_group_can_start_more(loop: Loop) -> None:
    finished: list[int] = []

    async def spread(group: asyncio.TaskGroup, depth: int) -> None:
        finished.append(depth)
        if depth:
            group.create_task(spread(group, depth - 1))
            group.create_task(spread(group, depth - 1))
        await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(spread(group, 5))
    assert len(finished) == 2**6 - 1


@pytest.mark.skipif(sys.version_info < (3, 13), reason="async as_completed came with 3.13")
async def test_as_completed_can_be_iterated_asynchronously(loop: Loop) -> None:
    tasks = [loop.create_task(after_turns(3 * count, count)) for count in (2, 0, 1)]
    finished = [task async for task in asyncio.as_completed(tasks)]
    assert [task.result() for task in finished] == [0, 1, 2]
    assert set(finished) == set(tasks)
