"""A loop's life: run, stop, run again, close."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from support.loops import Loop, LoopFactory
from support.net import turns


def test_a_new_loop_is_neither_running_nor_closed(loop: Loop) -> None:
    assert not loop.is_running()
    assert not loop.is_closed()


def test_is_running_is_true_within_a_callback_only(loop: Loop) -> None:
    seen: list[bool] = []
    loop.call_soon(lambda: seen.append(loop.is_running()))
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == [True]
    assert not loop.is_running()


def test_run_until_complete_returns_a_coroutines_result(loop: Loop) -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    assert loop.run_until_complete(answer()) == 42


def test_run_until_complete_raises_a_coroutines_error(loop: Loop) -> None:
    async def fail() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        loop.run_until_complete(fail())


def test_run_until_complete_accepts_a_future(loop: Loop) -> None:
    future = loop.create_future()
    loop.call_soon(future.set_result, "done")
    assert loop.run_until_complete(future) == "done"


def test_run_until_complete_of_a_done_future_returns_at_once(loop: Loop) -> None:
    future = loop.create_future()
    future.set_result(7)
    assert loop.run_until_complete(future) == 7


def test_run_until_complete_raises_when_stopped_before_the_future_is_done(loop: Loop) -> None:
    future = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError, match=r"^Event loop stopped before Future completed\.$"):
        loop.run_until_complete(future)


def test_a_future_left_pending_by_stop_can_be_run_on(loop: Loop) -> None:
    future = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError):
        loop.run_until_complete(future)
    loop.call_soon(future.set_result, 1)
    assert loop.run_until_complete(future) == 1


@pytest.mark.parametrize("wrong", [None, 1, "text", object()])
def test_run_until_complete_rejects_what_cannot_be_awaited(loop: Loop, wrong: object) -> None:
    with pytest.raises(TypeError):
        loop.run_until_complete(wrong)  # type: ignore[call-overload]


def test_run_until_complete_rejects_another_loops_future(loop_factory: LoopFactory) -> None:
    ours, theirs = loop_factory(), loop_factory()
    future = theirs.create_future()
    with pytest.raises(ValueError, match="belongs to a different loop"):
        ours.run_until_complete(future)
    ours.close()
    theirs.close()


def test_stop_before_run_forever_lets_one_turn_run(loop: Loop) -> None:
    ran: list[str] = []

    def first() -> None:
        ran.append("first")
        loop.call_soon(ran.append, "next turn")

    loop.call_soon(first)
    loop.stop()
    loop.run_forever()
    assert ran == ["first"]
    loop.stop()
    loop.run_forever()
    assert ran == ["first", "next turn"]


def test_stop_within_a_callback_finishes_the_turn(loop: Loop) -> None:
    ran: list[int] = []
    loop.call_soon(ran.append, 1)
    loop.call_soon(loop.stop)
    loop.call_soon(ran.append, 2)
    loop.run_forever()
    assert ran == [1, 2]


def test_callbacks_scheduled_after_stop_run_in_the_next_run(loop: Loop) -> None:
    ran: list[str] = []

    def stop_and_schedule() -> None:
        loop.stop()
        loop.call_soon(ran.append, "later")

    loop.call_soon(stop_and_schedule)
    loop.run_forever()
    assert ran == []
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert ran == ["later"]


def test_stop_twice_stops_one_run(loop: Loop) -> None:
    ran: list[int] = []
    loop.call_soon(loop.stop)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.call_soon(ran.append, 1)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert ran == [1]


def test_a_loop_runs_many_times(loop: Loop) -> None:
    for value in range(100):
        assert loop.run_until_complete(asyncio.sleep(0, value)) == value


def test_run_forever_within_a_run_raises(loop: Loop) -> None:
    async def nested() -> None:
        with pytest.raises(RuntimeError, match=r"^This event loop is already running$"):
            loop.run_forever()
        await asyncio.sleep(0)

    loop.run_until_complete(nested())


def test_run_until_complete_within_a_run_raises_and_the_outer_run_goes_on(loop: Loop) -> None:
    inner = asyncio.sleep(0)

    async def nested() -> str:
        with pytest.raises(RuntimeError, match=r"^This event loop is already running$"):
            loop.run_until_complete(inner)
        return "went on"

    assert loop.run_until_complete(nested()) == "went on"
    inner.close()


def test_running_another_loop_within_a_run_raises(loop_factory: LoopFactory) -> None:
    outer, inner = loop_factory(), loop_factory()

    async def nested() -> None:
        with pytest.raises(
            RuntimeError, match=r"^Cannot run the event loop while another loop is running$"
        ):
            inner.run_forever()

    outer.run_until_complete(nested())
    outer.close()
    inner.close()


def test_the_running_loop_is_known_within_a_run_only(loop: Loop) -> None:
    async def ask() -> Loop:
        return asyncio.get_running_loop()

    assert loop.run_until_complete(ask()) is loop
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


def test_the_running_loop_is_known_in_callbacks_of_every_kind(loop: Loop) -> None:
    seen: list[Loop] = []

    def note() -> None:
        seen.append(asyncio.get_running_loop())

    loop.call_soon(note)
    loop.call_soon_threadsafe(note)
    loop.call_later(0, note)
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert seen == [loop] * 3


def test_close_is_final_and_can_be_repeated(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    loop.close()
    assert loop.is_closed()
    loop.close()
    assert loop.is_closed()
    assert not loop.is_running()


def test_close_within_a_run_raises(loop: Loop) -> None:
    async def close() -> None:
        with pytest.raises(RuntimeError, match=r"^Cannot close a running event loop$"):
            loop.close()

    loop.run_until_complete(close())
    assert not loop.is_closed()


def test_close_drops_callbacks_that_never_ran(loop_factory: LoopFactory) -> None:
    class Held:
        def __call__(self) -> None:
            raise AssertionError("ran after close")

    soon, late = Held(), Held()
    alive = [weakref.ref(soon), weakref.ref(late)]
    loop = loop_factory()
    loop.call_soon(soon)
    loop.call_later(3600, late)
    loop.close()
    del soon, late
    gc.collect()
    assert [ref() for ref in alive] == [None, None]


def test_a_closed_loop_cannot_run(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    loop.close()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.run_forever()
    coroutine = asyncio.sleep(0)
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.run_until_complete(coroutine)
    coroutine.close()


def test_stop_of_a_closed_loop_does_nothing(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    loop.close()
    loop.stop()


def test_an_open_loop_that_is_collected_warns(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    loop_factory.made.clear()
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        loop.__del__()  # type: ignore[attr-defined]
    assert loop.is_closed()


def test_a_closed_loop_is_freed(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    loop.run_until_complete(turns(3))
    loop.close()
    alive = weakref.ref(loop)
    loop_factory.made.clear()
    del loop
    gc.collect()
    assert alive() is None


def test_repr_tells_the_state(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    assert "running=False closed=False debug=" in repr(loop)
    seen: list[str] = []
    loop.call_soon(lambda: seen.append(repr(loop)))
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert "running=True closed=False" in seen[0]
    loop.close()
    assert "running=False closed=True" in repr(loop)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_exit_raised_in_a_callback_leaves_run_forever_and_keeps_the_queue(
    loop: Loop, error: type[BaseException]
) -> None:
    ran: list[str] = []

    def leave() -> None:
        raise error("out")

    loop.call_soon(ran.append, "before")
    loop.call_soon(leave)
    loop.call_soon(ran.append, "after")
    loop.call_later(0, ran.append, "timer")
    with pytest.raises(error, match="out"):
        loop.run_forever()
    assert ran == ["before"]
    assert not loop.is_running()
    loop.run_until_complete(asyncio.sleep(0.001))
    assert ran == ["before", "after", "timer"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_exit_raised_in_a_task_leaves_the_run_and_is_the_tasks_result(
    loop: Loop, error: type[BaseException]
) -> None:
    async def leave() -> None:
        raise error("out")

    async def wait() -> None:
        await asyncio.sleep(3600)

    task = loop.create_task(leave())
    waiting = loop.create_task(wait())
    with pytest.raises(error, match="out"):
        loop.run_until_complete(waiting)
    assert isinstance(task.exception(), error)
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(waiting)


def test_run_until_complete_that_fails_in_the_main_task_retrieves_its_exception(
    loop: Loop,
) -> None:
    async def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit) as caught:
        loop.run_until_complete(leave())
    assert caught.value.code == 3
    gc.collect()  # nothing is reported as never retrieved: the strays fixture looks


def test_time_is_monotonic_seconds(loop: Loop) -> None:
    first = loop.time()
    assert isinstance(first, float)
    loop.run_until_complete(asyncio.sleep(0.01))
    assert 0.01 <= loop.time() - first < 10
