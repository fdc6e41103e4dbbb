"""Cancelling tasks."""

from __future__ import annotations

import asyncio

import pytest
from support.loops import Loop
from support.net import turns


async def test_cancel_raises_at_the_await(loop: Loop) -> None:
    seen: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    task = loop.create_task(wait())
    await asyncio.sleep(0)
    assert task.cancel() is True
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]
    assert task.cancelled()
    assert task.cancel() is False


async def test_a_task_cancelled_before_its_first_step_never_runs(loop: Loop) -> None:
    ran: list[str] = []

    async def run() -> None:
        ran.append("ran")

    task = loop.create_task(run())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ran == []


async def test_the_message_of_cancel_is_carried(loop: Loop) -> None:
    task = loop.create_task(asyncio.sleep(3600))
    await asyncio.sleep(0)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert caught.value.args == ("enough",)


async def test_a_task_may_refuse_to_be_cancelled(loop: Loop) -> None:
    async def refuse() -> str:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "finished"

    task = loop.create_task(refuse())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "finished"
    assert not task.cancelled()


async def test_cancel_reaches_the_awaited_future(loop: Loop) -> None:
    future = loop.create_future()

    async def wait() -> None:
        await future

    task = loop.create_task(wait())
    await asyncio.sleep(0)
    task.cancel("inner")
    assert future.cancelled()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancel_reaches_the_innermost_task(loop: Loop) -> None:
    inner = loop.create_task(asyncio.sleep(3600))

    async def wait() -> None:
        await inner

    outer = loop.create_task(wait())
    await turns(2)
    outer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await outer
    assert inner.cancelled()


async def test_cancel_after_the_future_is_done_is_still_delivered(loop: Loop) -> None:
    future = loop.create_future()

    async def wait() -> None:
        await future

    task = loop.create_task(wait())
    await asyncio.sleep(0)
    future.set_result(None)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not future.cancelled()


async def test_a_task_can_cancel_itself(loop: Loop) -> None:
    steps: list[str] = []

    async def cancel_self() -> None:
        task.cancel()
        steps.append("went on")
        await asyncio.sleep(0)
        steps.append("never")

    task = loop.create_task(cancel_self())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == ["went on"]


async def test_cancelling_counts_requests_and_uncancel_takes_them_back(loop: Loop) -> None:
    async def wait() -> int:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            assert current is not None
            assert current.cancelling() == 2
            assert current.uncancel() == 1
            assert current.uncancel() == 0
            assert current.uncancel() == 0
        return 1

    task = loop.create_task(wait())
    await asyncio.sleep(0)
    assert task.cancelling() == 0
    task.cancel()
    task.cancel()
    assert await task == 1
    assert task.cancelling() == 0


async def test_an_error_while_cancelling_is_the_result(loop: Loop) -> None:
    async def fail() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            raise LookupError("clean-up")

    task = loop.create_task(fail())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(LookupError, match="clean-up"):
        await task
    assert not task.cancelled()
