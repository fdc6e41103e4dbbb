"""The two coroutines that end a loop, cancelled at each turn: what they began comes to its end."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator

import pytest
from support.leaks import eventually
from support.loops import STDLIB, LoopFactory
from support.net import turns
from support.ownership.pulse import Pulse


@pytest.mark.parametrize("late", [False, True], ids=["early", "late"])
@pytest.mark.parametrize("turn", range(6))
def test_closing_generators(loop_factory: LoopFactory, turn: int, late: bool) -> None:
    loop = loop_factory()
    ended: list[int] = []

    async def generate(number: int) -> AsyncIterator[int]:
        try:
            yield number
        finally:
            await asyncio.sleep(0)
            ended.append(number)

    async def main() -> None:
        generators = [generate(number) for number in range(3)]
        for generator in generators:
            await anext(generator)
        pulse = Pulse(loop)
        closing = loop.create_task(loop.shutdown_asyncgens())
        pulse.after(turn, closing.cancel, late=late)
        await asyncio.wait([closing])
        await turns(10)
        pulse.stop()
        for generator in generators:
            await generator.aclose()  # what was interrupted can be closed by its owner

    loop.run_until_complete(main())
    loop.close()
    assert len(ended) <= 3


@pytest.mark.parametrize("turn", range(1, 6))
def test_joining_threads(loop_factory: LoopFactory, loop_kind: str, turn: int) -> None:
    if loop_kind == STDLIB and sys.version_info < (3, 13):
        pytest.skip("before 3.13 the result is set on the cancelled future, which is reported")
    loop = loop_factory()
    go_on = threading.Event()
    ran: list[str] = []
    threads = threading.active_count()

    def job() -> None:
        go_on.wait(30)
        ran.append("job")

    async def main() -> None:
        working = loop.run_in_executor(None, job)
        pulse = Pulse(loop)
        joining = loop.create_task(loop.shutdown_default_executor())

        def cancel() -> None:
            go_on.set()  # before 3.13 the cancelled one waits for the threads, and nothing runs
            joining.cancel()

        pulse.after(turn, cancel)
        with pytest.raises(asyncio.CancelledError):
            await joining
        pulse.stop()
        await working
        with pytest.raises(RuntimeError, match="shutdown"):
            await loop.run_in_executor(None, job)

    loop.run_until_complete(main())
    # The thread that joined the others tells the loop so, and ends.
    assert eventually(lambda: threading.active_count() == threads)
    loop.run_until_complete(turns(3))
    loop.close()
    assert ran == ["job"]
