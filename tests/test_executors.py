"""``run_in_executor``, ``to_thread`` and pools of threads and processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.child import PRELUDE, STRICT, environment
from support.loops import Loop, LoopFactory
from support.net import turns


async def test_a_function_runs_in_another_thread(loop: Loop) -> None:
    here = threading.get_ident()
    future = loop.run_in_executor(None, threading.get_ident)
    assert isinstance(future, asyncio.Future)
    assert future.get_loop() is loop
    assert await future != here


async def test_arguments_and_results_are_passed(loop: Loop) -> None:
    assert await loop.run_in_executor(None, max, 3, 9, 4) == 9
    assert await asyncio.to_thread(int, "ff", base=16) == 255


async def test_errors_are_raised_where_the_result_is_awaited(loop: Loop) -> None:
    def fail() -> None:
        raise LookupError("in the thread")

    with pytest.raises(LookupError, match="in the thread"):
        await loop.run_in_executor(None, fail)
    with pytest.raises(LookupError, match="in the thread"):
        await asyncio.to_thread(fail)


async def test_the_loop_goes_on_while_a_thread_blocks(loop: Loop) -> None:
    release = threading.Event()
    blocked = loop.run_in_executor(None, release.wait)
    await turns(50)
    await asyncio.sleep(0.001)
    assert not blocked.done()
    release.set()
    assert await blocked is True


async def test_a_pool_of_ones_own(loop: Loop) -> None:
    with ThreadPoolExecutor(2, thread_name_prefix="own") as pool:
        names = await asyncio.gather(
            *(loop.run_in_executor(pool, lambda: threading.current_thread().name) for _ in "1234")
        )
    assert {name.rpartition("_")[0] for name in names} == {"own"}


async def test_any_executor_will_do(loop: Loop) -> None:
    class Inline(Executor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_result(fn(*args, **kwargs))
            return future

    assert await loop.run_in_executor(Inline(), max, 1, 2) == 2


async def test_the_default_executor_can_be_set(loop: Loop) -> None:
    pool = ThreadPoolExecutor(1, thread_name_prefix="default")
    loop.set_default_executor(pool)
    name = await loop.run_in_executor(None, lambda: threading.current_thread().name)
    assert name.startswith("default")
    assert (await asyncio.to_thread(lambda: threading.current_thread().name)) == name


@pytest.mark.parametrize("wrong", [5, "pool", object()])
def test_the_default_executor_must_be_a_thread_pool(loop: Loop, wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"^executor must be ThreadPoolExecutor instance$"):
        loop.set_default_executor(wrong)


async def test_many_calls_all_return(loop: Loop) -> None:
    results = await asyncio.gather(
        *(loop.run_in_executor(None, lambda n=number: n * n) for number in range(1000))
    )
    assert results == [number * number for number in range(1000)]


async def test_a_call_that_waits_for_a_thread_can_be_cancelled(loop: Loop) -> None:
    release = threading.Event()
    ran: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        first = loop.run_in_executor(pool, release.wait)
        second = loop.run_in_executor(pool, ran.append, "second")
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        await turns(2)  # the pool is told in a later turn
        release.set()
        assert await first is True
    assert ran == []


async def test_a_call_that_runs_goes_on_after_its_future_is_cancelled(loop: Loop) -> None:
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait()
        ended.set()

    future = loop.run_in_executor(None, work)
    await asyncio.to_thread(begun.wait)
    future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await future
    assert not ended.is_set()
    release.set()
    await asyncio.to_thread(ended.wait)


async def test_a_pool_that_is_shut_down_refuses(loop: Loop) -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        loop.run_in_executor(pool, print)


def test_a_closed_loop_refuses(loop: Loop) -> None:
    loop.close()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.run_in_executor(None, print)


def test_closing_the_loop_does_not_wait_for_its_threads(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    release, ended = threading.Event(), threading.Event()

    def work() -> None:
        release.wait()
        ended.set()

    async def begin() -> None:
        loop.run_in_executor(None, work)
        await asyncio.sleep(0)

    loop.run_until_complete(begin())
    loop.close()
    assert not ended.is_set()
    release.set()  # what it returns finds the loop closed, and is dropped
    assert ended.wait(10)


def test_shutting_down_waits_for_what_runs(loop: Loop) -> None:
    release = threading.Event()
    ended: list[str] = []

    def work() -> None:
        release.wait()
        ended.append("work")

    async def main() -> None:
        loop.run_in_executor(None, work)
        shutting_down = loop.create_task(loop.shutdown_default_executor())
        await turns(10)
        assert not shutting_down.done()
        release.set()
        await shutting_down
        assert ended == ["work"]

    loop.run_until_complete(main())


@pytest.mark.skipif(sys.version_info < (3, 13), reason="3.11 and early 3.12 wait all the same")
def test_shutting_down_may_give_up(loop: Loop) -> None:
    release = threading.Event()

    async def main() -> None:
        loop.run_in_executor(None, release.wait)
        with pytest.warns(RuntimeWarning, match="joining its threads within"):
            await loop.shutdown_default_executor(timeout=0.01)  # type: ignore[call-arg]

    try:
        loop.run_until_complete(main())
    finally:
        release.set()


async def test_threads_reach_back_into_the_loop(loop: Loop) -> None:
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return number * 2

    def work(number: int) -> int:
        return asyncio.run_coroutine_threadsafe(double(number), loop).result(10)

    results = await asyncio.gather(*(asyncio.to_thread(work, number) for number in range(20)))
    assert results == [number * 2 for number in range(20)]


PROCESSES = """
from concurrent.futures import ProcessPoolExecutor
import multiprocessing


def square(number):
    return number * number, os.getpid()


def fail():
    raise LookupError("in the process")


async def main():
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        results = await asyncio.gather(
            *(loop.run_in_executor(pool, square, number) for number in range(20))
        )
        assert [result for result, _ in results] == [number * number for number in range(20)]
        assert os.getpid() not in {process for _, process in results}
        try:
            await loop.run_in_executor(pool, fail)
        except LookupError as error:
            print(error)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(main())
    print("done")
"""


MULTIPROCESSING = "ignore:Module globals is missing a __spec__.loader:DeprecationWarning"
"""Of the module as which it runs a program anew, when that raises, from Python 3.15 on."""


def test_a_pool_of_spawned_processes(loop_kind: str, tmp_path: Path) -> None:
    program = tmp_path / "processes.py"
    program.write_text(PRELUDE.format(kind=loop_kind) + PROCESSES)
    done = subprocess.run(
        [sys.executable, *STRICT, "-W", MULTIPROCESSING, str(program)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("in the process\ndone\n", "", 0)
