"""Ending in good order: asynchronous generators, the default executor, runners."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncGenerator

import pytest
from support.leaks import Strays
from support.loops import Loop, LoopFactory
from support.net import turns


def test_shutdown_asyncgens_closes_suspended_generators(loop: Loop) -> None:
    closed: list[str] = []

    async def numbers() -> AsyncGenerator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            closed.append("closed")

    generator = numbers()

    async def begin() -> int:
        return await anext(generator)

    assert loop.run_until_complete(begin()) == 1
    assert closed == []
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert closed == ["closed"]


def test_shutdown_asyncgens_reports_a_generator_that_fails(loop: Loop, strays: Strays) -> None:
    async def numbers() -> AsyncGenerator[int]:
        try:
            yield 1
        finally:
            raise LookupError("while closing")

    generator = numbers()

    async def begin() -> int:
        return await anext(generator)

    loop.run_until_complete(begin())
    loop.run_until_complete(loop.shutdown_asyncgens())
    context = strays.take_one()
    assert isinstance(context["exception"], LookupError)
    assert context["message"].startswith("an error occurred during closing of asynchronous gen")
    assert context["asyncgen"] is generator


def test_an_abandoned_generator_is_closed_by_the_loop(loop: Loop) -> None:
    closed: list[str] = []

    async def numbers() -> AsyncGenerator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            closed.append("closed")

    async def begin_and_abandon() -> None:
        async for _ in numbers():
            break
        gc.collect()
        await turns(5)

    loop.run_until_complete(begin_and_abandon())
    assert closed == ["closed"]


def test_a_generator_begun_after_shutdown_warns(loop: Loop) -> None:
    async def numbers() -> AsyncGenerator[int]:
        yield 1

    async def begin() -> None:
        async for _ in numbers():
            pass

    loop.run_until_complete(loop.shutdown_asyncgens())
    with pytest.warns(ResourceWarning, match="was scheduled after loop.shutdown_asyncgens"):
        loop.run_until_complete(begin())


def test_shutdown_default_executor_joins_its_threads(loop: Loop) -> None:
    name = loop.run_until_complete(
        loop.run_in_executor(None, lambda: threading.current_thread().name)
    )
    assert name in {thread.name for thread in threading.enumerate()}
    loop.run_until_complete(loop.shutdown_default_executor())
    assert name not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(RuntimeError, match=r"^Executor shutdown has been called$"):
        loop.run_in_executor(None, print)


def test_shutdown_without_a_default_executor_is_harmless(loop: Loop) -> None:
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.run_until_complete(loop.shutdown_default_executor())


def test_runner_runs_on_the_loop(loop_factory: LoopFactory) -> None:
    async def ask() -> Loop:
        return asyncio.get_running_loop()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        first = runner.run(ask())
        assert runner.run(ask()) is first
        assert first is loop_factory.made[0]
    assert first.is_closed()


def test_runner_cancels_what_is_left(loop_factory: LoopFactory) -> None:
    ended: list[str] = []

    async def linger() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("lingering task")

    async def main() -> None:
        tasks.append(asyncio.create_task(linger()))
        await asyncio.sleep(0)

    tasks: list[asyncio.Task[None]] = []
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())
    assert ended == ["lingering task"]
    assert tasks[0].cancelled()
