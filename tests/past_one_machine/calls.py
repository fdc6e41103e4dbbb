"""A program whose calls are made elsewhere: ``calls.py LOOP EXECUTOR BEHAVIOUR,... [SCHEDULER]``.

Each behaviour is asserted here, in the program, which prints its name and what came of it. The
executors differ; that the loop is free, and what reaches the tasks, does not.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import traceback
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

CALLS = 1000


def square(number: int) -> int:
    return number * number


def own_id() -> int:
    return os.getpid()


def noise() -> bytes:
    return os.urandom(8)


def inner_step(number: int) -> None:
    raise LookupError(f"nothing at {number}")


def fail(number: int) -> None:
    inner_step(number)


def wait_for(path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.005)


def touch(path: str) -> None:
    Path(path).touch()


def touch_and_wait_for(touched: str, awaited: str) -> None:
    touch(touched)
    wait_for(awaited)


def rest(number: int) -> int:
    time.sleep(0.02)
    return number


async def many_calls(executor: Executor) -> None:
    loop = asyncio.get_running_loop()
    calls = (loop.run_in_executor(executor, square, number) for number in range(CALLS))
    assert await asyncio.gather(*calls) == [number * number for number in range(CALLS)]


async def elsewhere(executor: Executor) -> None:
    loop = asyncio.get_running_loop()
    assert await loop.run_in_executor(executor, own_id) != os.getpid()


async def free_loop(executor: Executor) -> None:
    loop = asyncio.get_running_loop()
    with TemporaryDirectory() as folder:
        gate = str(Path(folder) / "gate")
        call = loop.run_in_executor(executor, wait_for, gate)
        for _ in range(50):  # the call ends by what the loop does meanwhile, or never
            await asyncio.sleep(0.001)
        assert not call.done()
        Path(gate).touch()
        await call


async def remote_traceback(executor: Executor) -> None:
    loop = asyncio.get_running_loop()
    try:
        await loop.run_in_executor(executor, fail, 7)
    except LookupError as error:
        assert error.args == ("nothing at 7",)
        told = "".join(traceback.format_exception(error))
        assert "in inner_step" in told, told
        assert "in fail" in told, told
    else:
        raise AssertionError("no error")
    assert await loop.run_in_executor(executor, square, 4) == 16


async def cancellation(executor: Executor) -> None:
    loop = asyncio.get_running_loop()
    with TemporaryDirectory() as folder:
        gate = str(Path(folder) / "gate")
        entered = [str(Path(folder) / f"entered {number}") for number in range(2)]
        made = Path(folder) / "made"
        blocking = [
            loop.run_in_executor(executor, touch_and_wait_for, path, gate) for path in entered
        ]
        while not all(Path(path).exists() for path in entered):
            await asyncio.sleep(0.005)

        # Both workers are busy: of many calls that wait, all that is cancelled in time is not
        # made. An executor may have sent a few ahead, so those that were submitted last count.
        ahead = [loop.run_in_executor(executor, square, number) for number in range(20)]

        async def call() -> None:
            await loop.run_in_executor(executor, touch, str(made))

        waiting = asyncio.create_task(call())
        await asyncio.sleep(0)  # submitted now
        waiting.cancel()
        try:
            await waiting
        except asyncio.CancelledError:
            pass
        else:
            raise AssertionError("not cancelled")
        try:
            async with asyncio.timeout(0.05):
                await loop.run_in_executor(executor, touch, str(made))
        except TimeoutError:
            pass
        else:
            raise AssertionError("no timeout")
        await asyncio.sleep(0.2)  # the word must reach the executor before a worker is free
        Path(gate).touch()
        await asyncio.gather(*blocking)
        assert await asyncio.gather(*ahead) == [number * number for number in range(20)]
        assert await loop.run_in_executor(executor, square, 9) == 81
        assert not made.exists()


async def killed_worker(executor: Executor) -> None:
    """Dask gives what a killed worker had to another, and nothing is lost."""
    loop = asyncio.get_running_loop()
    calls = [loop.run_in_executor(executor, rest, number) for number in range(100)]
    await asyncio.gather(*calls[:10])
    os.kill(int(os.environ["TO_BE_KILLED"]), signal.SIGKILL)
    assert await asyncio.gather(*calls) == list(range(100))


async def broken_pool(executor: Executor) -> None:
    """A local pool breaks as a whole, and says so in every call that it had."""
    from concurrent.futures.process import BrokenProcessPool

    loop = asyncio.get_running_loop()
    victim = await loop.run_in_executor(executor, own_id)
    calls = [loop.run_in_executor(executor, rest, number) for number in range(100)]
    os.kill(victim, signal.SIGKILL)
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert len(ended) == 100
    assert any(isinstance(end, BrokenProcessPool) for end in ended)
    assert all(end == i or isinstance(end, BrokenProcessPool) for i, end in enumerate(ended))
    for _ in range(2):
        try:
            await loop.run_in_executor(executor, square, 3)
        except BrokenProcessPool:
            break
    else:
        raise AssertionError("a broken pool took a call")


async def pure_calls(executor: Executor) -> None:
    """Equal calls are made once if they are taken to be pure, which is dask's default."""
    loop = asyncio.get_running_loop()

    async def twice(executor: Executor) -> set[bytes]:
        return set(await asyncio.gather(*(loop.run_in_executor(executor, noise) for _ in range(2))))

    assert len(await twice(executor)) == 2
    client: Any = executor._client  # type: ignore[attr-defined]
    assert len(await twice(client.get_executor())) == 1


@contextmanager
def executor_of(kind: str, *scheduler: str) -> Any:
    if kind == "loky":
        from loky import ProcessPoolExecutor

        with ProcessPoolExecutor(max_workers=2) as executor:
            yield executor
    elif kind == "mpi":
        from mpi4py.futures import MPIPoolExecutor

        with MPIPoolExecutor() as executor:
            yield executor
    else:
        from distributed import Client

        with Client(*scheduler) as client, client.get_executor(pure=False) as executor:
            yield executor


def main(loop_kind: str, kind: str, behaviours: str, *scheduler: str) -> None:
    from support.loops import new_loop

    with (
        executor_of(kind, *scheduler) as executor,
        asyncio.Runner(loop_factory=lambda: new_loop(loop_kind)) as runner,
    ):
        for behaviour in behaviours.split(","):
            try:
                runner.run(globals()[behaviour](executor))
            except Exception:
                print(behaviour, traceback.format_exc().replace("\n", "\\n"))
            else:
                print(behaviour, "ok")


if __name__ == "__main__":
    main(*sys.argv[1:])
