"""`rondel.ThreadPoolExecutor`, and what the loop does with it and with its like."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import os
import subprocess
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rondel
from support.child import environment
from support.leaks import Ledger
from support.loops import Loop, LoopFactory
from support.net import turns

Make = Callable[..., concurrent.futures.ThreadPoolExecutor]


@pytest.fixture(params=["stdlib", "rondel", "rondel that polls"])
def make(request: pytest.FixtureRequest, nothing_left_behind: Ledger) -> Iterator[Make]:
    """Makes pools, which are shut down after the test."""
    made = []

    def new(*args: Any, **kwargs: Any) -> concurrent.futures.ThreadPoolExecutor:
        if request.param == "stdlib":
            made.append(concurrent.futures.ThreadPoolExecutor(*args, **kwargs))
        else:
            polls = request.param != "rondel"
            made.append(rondel.ThreadPoolExecutor(*args, **kwargs, spin=polls))
        return made[-1]

    yield new
    for pool in made:
        pool.shutdown()


def occupy(pool: concurrent.futures.Executor) -> threading.Event:
    """Keep one thread busy until the event is set."""
    begun, release = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait()

    pool.submit(work)
    assert begun.wait(10)
    return release


def test_the_pool_is_one_of_the_standard_librarys() -> None:
    assert issubclass(rondel.ThreadPoolExecutor, concurrent.futures.ThreadPoolExecutor)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"max_workers": 0}, ValueError),
        ({"max_workers": -1}, ValueError),
        ({"initializer": 5}, TypeError),
        ({"spin": -1.0}, ValueError),
        ({"spin": float("nan")}, ValueError),
        ({"spin": float("inf")}, ValueError),
        ({"spin": "long"}, ValueError),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        rondel.ThreadPoolExecutor(**wrong)


def test_threads_are_known_and_named(make: Make) -> None:
    pool = make(2, "named")
    thread = pool.submit(threading.current_thread).result(10)
    assert thread.name == "named_0"
    assert thread in threading.enumerate()
    assert not thread.daemon


def test_map_gives_results_in_order_and_times_out(make: Make) -> None:
    pool = make(3)
    assert list(pool.map(pow, range(9), range(9), chunksize=4)) == [n**n for n in range(9)]
    release = threading.Event()
    with pytest.raises(TimeoutError):
        list(pool.map(lambda _: release.wait(), "1", timeout=0.01))
    release.set()


def test_submitted_calls_run_are_cancelled_and_tell_callbacks(make: Make) -> None:
    pool = make(1)
    release = occupy(pool)
    told: list[concurrent.futures.Future[Any]] = []
    waits = pool.submit(print, "never")
    waits.add_done_callback(told.append)
    assert not waits.running()
    assert waits.cancel()
    assert told == [waits]
    release.set()
    assert pool.submit(dict, a=1).result(10) == {"a": 1}
    assert waits.cancelled()


def test_shutdown_can_cancel_what_waits(make: Make) -> None:
    pool = make(1)
    release = occupy(pool)
    waits = pool.submit(print, "never")
    pool.shutdown(wait=False, cancel_futures=True)
    assert waits.cancelled()
    with pytest.raises(RuntimeError, match="^cannot schedule new futures after shutdown$"):
        pool.submit(print)
    release.set()


async def test_shutdown_cancels_what_a_loop_waits_for(loop: Loop, make: Make) -> None:
    pool = make(1)
    release = occupy(pool)
    waits = loop.run_in_executor(pool, print, "never")
    pool.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(asyncio.CancelledError):
        await waits
    release.set()


async def test_a_pool_whose_threads_cannot_be_set_up_is_broken(
    loop: Loop, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise LookupError("no set-up")

    pool = make(1, initializer=fail)
    with pytest.raises(concurrent.futures.thread.BrokenThreadPool, match="not usable anymore"):
        await loop.run_in_executor(pool, print, "never")
    with pytest.raises(concurrent.futures.thread.BrokenThreadPool, match="not usable anymore"):
        pool.submit(print)
    assert "no set-up" in caplog.text


async def test_initializers_run_in_each_thread(loop: Loop, make: Make) -> None:
    here = threading.local()
    pool = make(2, initializer=lambda name: setattr(here, "name", name), initargs=("set up",))
    assert await loop.run_in_executor(pool, lambda: here.name) == "set up"


async def test_cancelling_the_task_cancels_what_waits(loop: Loop, make: Make) -> None:
    pool = make(1)
    release = occupy(pool)
    ran: list[int] = []

    async def call() -> None:
        await loop.run_in_executor(pool, ran.append, 1)

    task = loop.create_task(call())
    await turns(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await turns(2)  # the standard library's pool is told in a later turn
    release.set()
    pool.shutdown()
    assert not ran


async def test_a_call_that_is_cancelled_while_it_runs_ends_quietly(loop: Loop, make: Make) -> None:
    pool = make(1)
    begun, release = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait()
        raise LookupError("nobody waits any more")

    future = loop.run_in_executor(pool, work)
    assert begun.wait(10)
    future.cancel()
    release.set()
    pool.shutdown()
    await turns(3)
    assert future.cancelled()


async def test_exceptions_keep_their_traceback(loop: Loop, make: Make) -> None:
    def fails_here() -> None:
        raise LookupError("lost")

    with pytest.raises(LookupError) as caught:
        await loop.run_in_executor(make(1), fails_here)
    assert "fails_here" in "".join(traceback.format_tb(caught.value.__traceback__))


@pytest.mark.rondel_only
async def test_a_stop_iteration_ends_nobodys_wait(loop: Loop, make: Make) -> None:
    with pytest.raises((RuntimeError, TypeError), match="StopIteration interacts badly"):
        await loop.run_in_executor(make(1), next, iter(()))


async def test_an_exit_in_a_thread_is_an_exception_of_the_call(loop: Loop, make: Make) -> None:
    future = loop.run_in_executor(make(1), sys.exit, 3)
    while not future.done():
        await asyncio.sleep(0.001)
    assert isinstance(future.exception(), SystemExit)


async def test_to_thread_carries_the_context(loop: Loop) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("outside")

    def look() -> str:
        seen = variable.get()
        variable.set("inside")
        return seen

    assert await asyncio.to_thread(look) == "outside"
    assert variable.get() == "outside"


@pytest.mark.rondel_only
async def test_twenty_thousand_calls_at_once(loop: Loop) -> None:
    count = 500 if loop.get_debug() else 20_000  # debug mode takes a millisecond for each
    results = await asyncio.gather(*(asyncio.to_thread(abs, -n) for n in range(count)))
    assert results == list(range(count))


async def test_calls_that_need_each_other_have_a_thread_each(loop: Loop, make: Make) -> None:
    pool = make(4)
    for _ in range(50):
        barrier = threading.Barrier(4)
        await asyncio.gather(*(loop.run_in_executor(pool, barrier.wait, 10) for _ in range(4)))


async def test_a_call_is_made_though_the_loop_is_blocked(loop: Loop, make: Make) -> None:
    done = threading.Event()
    future = loop.run_in_executor(make(1), done.set)
    assert done.wait(10)
    await future


async def test_a_loop_that_blocks_all_threads_still_resolves_names(loop: Loop) -> None:
    if not isinstance(loop, rondel.Loop):
        pytest.skip("asyncio resolves names in the default executor, which is full")
    pool = rondel.ThreadPoolExecutor(1)
    loop.set_default_executor(pool)
    release = occupy(pool)
    assert await loop.getaddrinfo("127.0.0.1", 80)
    assert await loop.getnameinfo(("127.0.0.1", 80), 3)
    release.set()


def test_a_loop_that_is_closed_meanwhile_is_not_told(loop_factory: LoopFactory, make: Make) -> None:
    pool = make(1)
    loop = loop_factory()
    begun, release = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait()

    async def main() -> None:
        loop.run_in_executor(pool, work)
        begun.wait()

    loop.run_until_complete(main())
    loop.close()
    release.set()
    pool.shutdown()


@pytest.mark.rondel_only
async def test_the_default_executor_is_rondels(loop: Loop) -> None:
    await asyncio.to_thread(int)
    assert type(loop._default_executor) is rondel.ThreadPoolExecutor  # type: ignore[attr-defined]


def test_stats_tell_what_waits_and_works(nothing_left_behind: Ledger) -> None:
    with rondel.ThreadPoolExecutor(1) as pool:
        assert pool.stats() == (0, 0, 0, 0, 0.0, 0.0)
        release = occupy(pool)
        waits = pool.submit(int)
        stats = pool.stats()
        assert (stats.threads, stats.busy, stats.queued, stats.taken) == (1, 1, 1, 1)
        assert stats.longest_wait > 0
        release.set()
        waits.result(10)
        assert pool.stats().taken == 2
        assert pool.stats().waited > 0
    assert pool.stats().threads == 0


def test_a_call_leaves_nothing_in_the_pool(make: Make) -> None:
    class Thing:
        def method(self) -> None:
            pass

    gone = threading.Event()
    thing = Thing()
    weakref.finalize(thing, gone.set)
    make(1).submit(thing.method)
    del thing
    assert gone.wait(10)


async def test_a_replaced_submit_is_called(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    original = concurrent.futures.ThreadPoolExecutor.submit

    def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        seen.append(fn)
        return original(self, fn, *args, **kwargs)

    monkeypatch.setattr(concurrent.futures.ThreadPoolExecutor, "submit", submit)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert await loop.run_in_executor(pool, int) == 0
    assert seen == [int]


ENDINGS = {
    "idle": "pool.submit(int).result()",
    "never used": "",
    "full": "[pool.submit(time.sleep, 0.01) for _ in range(20)]",
    "shut down": "pool.submit(time.sleep, 0.1); pool.shutdown(wait=False)",
    "gone": "pool.submit(time.sleep, 0.1); del pool",
    "during start": """
threading.Thread(target=lambda: [pool.submit(int) for _ in range(99)]).start()
""",
    "in a forked child": """
pool.submit(time.sleep, 0.1)
pool.submit(int).result()
if (child := os.fork()) == 0:
    assert pool.submit(int, 7).result(10) == 7
    pool.shutdown()
    pool = rondel.ThreadPoolExecutor(1)
    pool.submit(int)
else:
    assert os.waitpid(child, 0)[1] == 0
""",
    "in a child forked by a thread": """
def fork():
    if os.fork() == 0:
        pool.submit(int, 7).result(10)
        os._exit(0)
    assert os.wait()[1] == 0
pool.submit(fork).result(10)
""",
    "a loop was closed over it": """
async def main():
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.1)
    asyncio.get_running_loop().run_in_executor(pool, time.sleep, 0.1)
    await asyncio.sleep(0)
loop = rondel.new_event_loop()
loop.run_until_complete(main())
loop.close()
""",
}


@pytest.mark.parametrize("state", ENDINGS)
@pytest.mark.parametrize("spin", [False, True])
def test_the_interpreter_exits_in_every_state(state: str, spin: bool) -> None:
    program = f"""
import asyncio, os, threading, time, warnings, rondel
warnings.simplefilter("ignore", DeprecationWarning)  # a fork with threads, from 3.12 on
pool = rondel.ThreadPoolExecutor(2, spin={spin})
{ENDINGS[state]}
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    # A thread may be late for a pool that the interpreter has shut, in words of the library's own.
    late = state == "during start" and "after interpreter shutdown" in ran.stderr
    assert (ran.returncode, "" if late else ran.stderr) == (0, "")


def test_pools_leave_no_descriptor(nothing_left_behind: Ledger) -> None:
    before = os.listdir("/proc/self/fd")
    for _ in range(20):
        with rondel.ThreadPoolExecutor(2) as pool:
            pool.submit(int).result(10)
    assert len(os.listdir("/proc/self/fd")) == len(before)
