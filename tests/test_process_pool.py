"""`rondel.ProcessPoolExecutor`: outcomes, deaths of workers, cancellation, endings."""

from __future__ import annotations

import array
import asyncio
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import rondel
from support.leaks import eventually
from support.worker_calls import (
    Interrupted,
    bad_start,
    count_to,
    echo,
    end,
    exiting,
    fail,
    unloadable,
    unpicklable,
    write_and_wait,
)

ROUNDS = int(os.environ.get("RONDEL_KILLS", "8"))
"""How often a worker is killed under load; `make kills` does it a thousand times."""


def nested() -> int:
    with rondel.ProcessPoolExecutor(1) as pool:
        three: int = pool.submit(echo, 3).result()
    return three


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def is_worker(pid: str) -> bool:
    try:
        return b"_rondel_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False  # it has ended


def workers() -> list[str]:
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [pid for pid in children if is_worker(pid)]


@pytest.fixture(autouse=True)
def workers_do_without_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Import no main module in each worker: it would be pytest, which takes longer than a test."""
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__spec__", None)
    monkeypatch.delattr(main, "__file__")


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    asyncio.new_event_loop().close()
    before, threads = descriptors(), threading.active_count()
    yield
    # Nobody waits for the end of a pool that is dropped; how soon it comes is tested elsewhere.
    assert eventually(lambda: not workers() and threading.active_count() == threads, within=20)
    assert len(descriptors()) <= len(before)


@pytest.fixture
def pool() -> Iterator[rondel.ProcessPoolExecutor]:
    with rondel.ProcessPoolExecutor(2) as pool:
        yield pool


def in_loop(main: Any) -> Any:
    return rondel.run(main())


def test_it_is_an_executor_of_the_standard_kind(pool: rondel.ProcessPoolExecutor) -> None:
    assert isinstance(pool, futures.ProcessPoolExecutor)
    future = pool.submit(echo, 1)
    assert isinstance(future, futures.Future)
    assert future.result() == 1
    assert list(pool.map(pow, range(7), [2] * 7, chunksize=3)) == [n * n for n in range(7)]


def test_a_loop_drives_it_without_a_thread(pool: rondel.ProcessPoolExecutor) -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        calls = [loop.run_in_executor(pool, echo, n) for n in range(200)]
        results = await asyncio.gather(*calls)
        assert threading.active_count() == threads
        return results

    threads = threading.active_count()
    assert in_loop(main) == list(range(200))


def test_a_coroutine_may_block_for_a_result(pool: rondel.ProcessPoolExecutor) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        awaited = loop.run_in_executor(pool, echo, 0)
        assert pool.submit(echo, 1).result() == 1
        waited, _ = futures.wait([pool.submit(echo, 2), pool.submit(echo, 3)])
        assert {future.result() for future in waited} == {2, 3}
        assert list(pool.map(echo, range(9))) == list(range(9))
        assert await awaited == 0
        assert await asyncio.wrap_future(pool.submit(echo, 4)) == 4

    in_loop(main)


def test_it_works_under_other_loops_and_one_after_the_other(
    pool: rondel.ProcessPoolExecutor,
) -> None:
    async def main() -> int:
        return await asyncio.get_running_loop().run_in_executor(pool, echo, 5)

    assert asyncio.run(main()) == in_loop(main) == asyncio.run(main()) == in_loop(main) == 5


def test_a_call_outlives_the_loop_that_asked_for_it(pool: rondel.ProcessPoolExecutor) -> None:
    async def main() -> futures.Future[int]:
        return pool.submit(echo, 6)

    assert in_loop(main).result() == 6


@pytest.mark.parametrize("kind", [bytes, bytearray, "text", "array", "list"])
def test_values_of_any_size_arrive(kind: Any, pool: rondel.ProcessPoolExecutor) -> None:
    for size in (0, 1000, 1 << 16, 18 << 20, (1 << 20) + 1):
        value: Any = os.urandom(size)
        if kind is bytearray:
            value = bytearray(value)
        elif kind == "text":
            value = value.decode("latin-1")
        elif kind == "array":
            value = array.array("B", value)
        elif kind == "list":
            value = [value, {"same": value}, value[:10]]
        for _ in range(2):
            assert pool.submit(echo, value).result() == value


def test_many_large_values_in_flight_do_not_block_each_other(
    pool: rondel.ProcessPoolExecutor,
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        values = [os.urandom(300_000) for _ in range(40)]
        assert (
            await asyncio.gather(*(loop.run_in_executor(pool, echo, v) for v in values)) == values
        )

    in_loop(main)


def test_errors_come_with_the_traceback_of_the_worker(pool: rondel.ProcessPoolExecutor) -> None:
    with pytest.raises(LookupError, match="in the worker") as caught:
        pool.submit(fail).result()
    assert 'raise LookupError("in the worker")' in str(caught.value.__cause__)


def test_what_cannot_be_pickled_fails_its_call_only(pool: rondel.ProcessPoolExecutor) -> None:
    with pytest.raises((AttributeError, TypeError, Exception), match="pickle|local"):
        pool.submit(echo, lambda: None).result()
    with pytest.raises(Exception, match="pickle|local"):
        pool.submit(unpicklable).result()
    with pytest.raises(TypeError, match="argument") as caught:
        pool.submit(unloadable).result()
    assert "Unloadable" in str(caught.value.__cause__)
    assert pool.submit(echo, 1).result() == 1


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_worker_that_dies_fails_its_call_and_is_replaced(
    sig: signal.Signals, pool: rondel.ProcessPoolExecutor
) -> None:
    with pytest.raises(rondel.WorkerDied, match=sig.name) as caught:
        pool.submit(end, sig).result()
    assert isinstance(caught.value, BrokenProcessPool)
    assert caught.value.signal == sig
    with pytest.raises(rondel.WorkerDied, match="code 3"):
        pool.submit(os._exit, 3).result()
    assert pool.submit(echo, 1).result() == 1


@pytest.mark.timeout(120 + 3 * ROUNDS)
def test_killing_workers_under_load_loses_no_call_but_the_killed(tmp_path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        done = lost = 0
        with rondel.ProcessPoolExecutor(2) as pool:
            for number in range(ROUNDS):
                log = tmp_path / str(number)
                log.touch()
                calls = [loop.run_in_executor(pool, count_to, str(log), n) for n in range(60)]
                await asyncio.wait(calls[: random.randrange(1, 30)])
                victims = list(pool._processes)
                if victims:
                    os.kill(random.choice(victims), signal.SIGKILL)
                outcomes = await asyncio.gather(*calls, return_exceptions=True)
                begun = [int(line) for line in log.read_text().split()]
                assert len(begun) == len(set(begun)), "a call has run twice"
                died = [o for o in outcomes if isinstance(o, rondel.WorkerDied)]
                assert len(died) <= 1
                for n, outcome in enumerate(outcomes):
                    assert outcome == n or outcome in died
                done += len(calls) - len(died)
                lost += len(died)
        assert done + lost == 60 * ROUNDS

    in_loop(main)


def test_an_initializer_that_fails_breaks_the_pool() -> None:
    with rondel.ProcessPoolExecutor(2, initializer=bad_start) as pool:
        with pytest.raises(BrokenProcessPool) as caught:
            pool.submit(echo, 1).result()
        assert isinstance(caught.value.__cause__, OSError)
        with pytest.raises(BrokenProcessPool):
            pool.submit(echo, 1)


def test_an_initializer_that_ends_the_process_breaks_the_pool() -> None:
    pool = rondel.ProcessPoolExecutor(1, initializer=os._exit, initargs=(4,))
    with pool, pytest.raises(BrokenProcessPool):
        pool.submit(echo, 1).result()


def test_queued_calls_are_cancelled_with_their_tasks(tmp_path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with rondel.ProcessPoolExecutor(1) as pool:
            first = loop.run_in_executor(pool, time.sleep, 0.05)
            second = loop.run_in_executor(pool, count_to, str(tmp_path / "log"), 1)
            second.cancel()
            await first
            assert await loop.run_in_executor(pool, echo, 2) == 2
        assert not (tmp_path / "log").exists()

    in_loop(main)


@pytest.mark.parametrize("runner", [rondel.run, asyncio.run])
def test_a_running_call_is_killed_with_its_task_if_so_chosen(runner: Any, tmp_path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with rondel.ProcessPoolExecutor(1, cancel="kill") as pool:
            path = tmp_path / "pid"
            call = loop.run_in_executor(pool, write_and_wait, str(path))
            while not (path.exists() and path.read_text()):
                await asyncio.sleep(0.01)
            pid = int(path.read_text())
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await loop.run_in_executor(pool, os.getpid) != pid
            assert not Path(f"/proc/{pid}").exists()

    runner(main())


def test_workers_are_replaced_after_so_many_calls() -> None:
    with rondel.ProcessPoolExecutor(1, max_tasks_per_child=2) as pool:
        pids = [pool.submit(os.getpid).result() for _ in range(6)]
    assert len(set(pids)) == 3


@pytest.mark.parametrize("workers", [2, 4])
def test_a_pool_ends_by_itself_though_calls_fail_and_workers_are_replaced(workers: int) -> None:
    pool = rondel.ProcessPoolExecutor(workers, max_tasks_per_child=1)
    calls = [pool.submit(echo, 1), pool.submit(fail), pool.submit(echo, 3)]
    assert calls[0].result() == 1
    assert isinstance(calls[1].exception(), LookupError)
    pool.shutdown(wait=False)
    assert calls[2].result() == 3
    assert eventually(lambda: not pool._processes, within=20)
    pool.shutdown()


@pytest.mark.parametrize("ending", ["shutdown", "collected"])
def test_what_waits_is_run_though_the_pool_has_ended_and_workers_are_replaced(ending: str) -> None:
    pool = rondel.ProcessPoolExecutor(2, max_tasks_per_child=1)
    calls = [pool.submit(echo, n) for n in range(6)]
    if ending == "shutdown":
        pool.shutdown(wait=False)
    del pool
    assert [call.result(60) for call in calls] == list(range(6))


@pytest.mark.parametrize("method", ["terminate_workers", "kill_workers"])
def test_a_pool_whose_workers_are_ended_replaces_none(method: str) -> None:
    pool = rondel.ProcessPoolExecutor(1, max_tasks_per_child=1)
    calls = [pool.submit(time.sleep, 0.01) for _ in range(20)]
    calls[0].result()
    getattr(pool, method)()
    futures.wait(calls, 60)
    assert all(call.done() for call in calls)
    assert calls[-1].cancelled()
    pool.shutdown()


def test_a_pool_whose_workers_cannot_be_replaced_fails_what_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def cannot(*_: Any) -> Any:
        raise OSError("no more processes")

    with rondel.ProcessPoolExecutor(1, max_tasks_per_child=1) as pool:
        first = pool.submit(time.sleep, 0.05)
        others = [pool.submit(echo, n) for n in range(3)]
        monkeypatch.setattr("rondel.executors.processes.start.start", cannot)
        first.result()
        for other in others:
            with pytest.raises(BrokenProcessPool) as caught:
                other.result(60)
            assert isinstance(caught.value.__cause__, OSError)


def test_a_running_loop_is_not_forked() -> None:
    async def main() -> None:
        pool = rondel.ProcessPoolExecutor(1, get_context("fork"))
        with pool, pytest.raises(RuntimeError, match="forked"):
            await asyncio.get_running_loop().run_in_executor(pool, echo, 1)

    in_loop(main)


def test_pools_nest(pool: rondel.ProcessPoolExecutor) -> None:
    assert pool.submit(nested).result() == 3


def test_map_takes_arguments_as_results_are_taken(pool: rondel.ProcessPoolExecutor) -> None:
    taken: list[int] = []

    def arguments() -> Iterator[int]:
        for n in range(10):
            taken.append(n)
            yield n

    results = pool.map(echo, arguments(), buffersize=2)
    assert len(taken) == 2
    assert list(results) == list(range(10))


@pytest.mark.parametrize("state", ["unused", "idle", "starting", "full"])
@pytest.mark.parametrize("driver", ["loop", "thread"])
def test_a_shutdown_ends_soon_in_every_state(state: str, driver: str) -> None:
    def use() -> None:
        pool = rondel.ProcessPoolExecutor(2)
        if state == "idle":
            pool.submit(echo, 1).result()
        if state == "starting":
            pool.submit(echo, 1)
        if state == "full":
            pool.submit(echo, 1).result()
            calls = [pool.submit(time.sleep, 0.02) for _ in range(300)]
        began = time.monotonic()
        pool.shutdown(cancel_futures=True)
        assert time.monotonic() - began < 5
        if state == "full":
            assert all(call.done() for call in calls)
        with pytest.raises(RuntimeError, match="after shutdown"):
            pool.submit(echo, 1)

    async def main() -> None:
        use()

    in_loop(main) if driver == "loop" else use()


@pytest.mark.parametrize("method", ["terminate_workers", "kill_workers"])
def test_all_workers_can_be_ended_at_once(method: str) -> None:
    pool = rondel.ProcessPoolExecutor(2)
    assert pool.submit(echo, 1).result() == 1
    calls = [pool.submit(time.sleep, 60) for _ in range(5)]
    getattr(pool, method)()
    futures.wait(calls)
    assert all(call.cancelled() or call.exception() for call in calls)
    pool.shutdown()


def test_a_shutdown_may_meet_the_end_of_the_pools_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = rondel.ProcessPoolExecutor(2)
    assert pool.submit(echo, 1).result() == 1
    driver: Any = pool._pool.driver
    pool.kill_workers()
    wake = os.eventfd_write

    def wake_late(descriptor: int, count: int) -> None:
        driver.thread.join(0.5)  # which it must not do with the descriptor that is written to
        wake(descriptor, count)

    monkeypatch.setattr(os, "eventfd_write", wake_late)
    pool.shutdown()


def test_a_submit_that_is_interrupted_leaves_the_pool_as_it_was() -> None:
    with rondel.ProcessPoolExecutor(1, initializer=echo, initargs=(Interrupted(),)) as pool:
        for argument in (1, Interrupted()):  # while a worker is started, and with one that waits
            with pytest.raises(KeyboardInterrupt):
                pool.submit(echo, argument)
            assert pool.submit(echo, 2).result() == 2


@pytest.mark.parametrize("driver", ["loop", "thread"])
def test_a_result_that_exits_while_it_is_read_fails_its_call_only(
    driver: str, pool: rondel.ProcessPoolExecutor
) -> None:
    async def main() -> None:
        call = asyncio.get_running_loop().run_in_executor(pool, exiting)
        await asyncio.wait([call])
        assert isinstance(call.exception(), SystemExit)

    if driver == "loop":
        in_loop(main)
    else:
        assert isinstance(pool.submit(exiting).exception(), SystemExit)
    assert pool.submit(echo, 1).result() == 1


def test_a_callback_that_exits_does_not_end_the_pools_thread(
    pool: rondel.ProcessPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", said.append)
    exiting = pool.submit(time.sleep, 0.1)
    exiting.add_done_callback(lambda _: sys.exit("a callback's"))
    assert pool.submit(echo, 1).result() == 1
    pool.shutdown()
    assert [str(each.exc_value) for each in said] == ["a callback's"]


def test_a_pool_that_a_loop_drove_is_shut_down_by_several_threads_of_which_one_is_interrupted() -> (
    None
):
    async def main() -> None:
        assert await asyncio.get_running_loop().run_in_executor(pool, echo, 1) == 1

    def interrupt(*_: object) -> None:
        for each in others:
            each.start()
        raise InterruptedError

    pool = rondel.ProcessPoolExecutor(2)
    in_loop(main)
    stopped = list(pool._processes)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    others = [threading.Thread(target=pool.shutdown) for _ in range(3)]
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(InterruptedError):
            pool.shutdown()
    finally:
        signal.signal(signal.SIGALRM, before)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    for each in others:
        each.join()
    pool.shutdown()
