"""``call_soon_threadsafe``: from other threads, into a loop that may sleep, run or be closed."""

from __future__ import annotations

import asyncio
import contextvars
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.leaks import Strays
from support.loops import Loop, LoopFactory


@contextmanager
def thread(target: object, *args: object) -> Iterator[threading.Thread]:
    """A started thread, joined at the end."""
    worker = threading.Thread(target=target, args=args)  # type: ignore[arg-type]
    worker.start()
    try:
        yield worker
    finally:
        worker.join()


def test_it_wakes_a_sleeping_loop(loop: Loop) -> None:
    asleep = threading.Event()
    loop.call_soon(asleep.set)

    def wake() -> None:
        asleep.wait()
        loop.call_soon_threadsafe(loop.stop)

    with thread(wake):
        loop.run_forever()


def test_it_wakes_a_loop_that_sleeps_again_and_again(loop: Loop) -> None:
    rounds = 500
    ran: list[int] = []
    turn = threading.Semaphore(0)

    def note(number: int) -> None:
        ran.append(number)
        turn.release()
        if number == rounds - 1:
            loop.stop()

    def wake() -> None:
        for number in range(rounds):
            loop.call_soon_threadsafe(note, number)
            turn.acquire()

    with thread(wake):
        loop.run_forever()
    assert ran == list(range(rounds))


def test_the_order_of_each_thread_is_kept(loop: Loop) -> None:
    threads, each = 8, 500
    ran: list[tuple[int, int]] = []
    left = threads

    def finished() -> None:
        nonlocal left
        left -= 1
        if not left:
            loop.stop()

    def push(name: int) -> None:
        for number in range(each):
            loop.call_soon_threadsafe(ran.append, (name, number))
        loop.call_soon_threadsafe(finished)

    workers = [threading.Thread(target=push, args=(name,)) for name in range(threads)]
    for worker in workers:
        worker.start()
    loop.run_forever()
    for worker in workers:
        worker.join()
    assert len(ran) == threads * each
    for name in range(threads):
        assert [number for who, number in ran if who == name] == list(range(each))


def test_within_the_loop_it_keeps_the_order_with_call_soon(loop: Loop) -> None:
    ran: list[int] = []

    def schedule() -> None:
        loop.call_soon(ran.append, 1)
        loop.call_soon_threadsafe(ran.append, 2)
        loop.call_soon(ran.append, 3)
        loop.call_soon_threadsafe(ran.append, 4)
        loop.call_soon(loop.stop)

    loop.call_soon(schedule)
    loop.run_forever()
    assert ran == [1, 2, 3, 4]


def test_before_a_run_it_keeps_the_order_with_call_soon(loop: Loop) -> None:
    ran: list[int] = []
    loop.call_soon(ran.append, 1)
    loop.call_soon_threadsafe(ran.append, 2)
    loop.call_soon(ran.append, 3)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert ran == [1, 2, 3]


def test_a_callback_pushed_before_the_run_runs_in_its_first_turn(loop: Loop) -> None:
    ran: list[int] = []
    with thread(loop.call_soon_threadsafe, ran.append, 1):
        pass
    loop.stop()
    loop.run_forever()
    assert ran == [1]


def test_a_turn_does_not_grow_with_what_is_pushed_within_it(loop: Loop) -> None:
    ran: list[str] = []

    def first() -> None:
        with thread(loop.call_soon_threadsafe, ran.append, "pushed"):
            pass
        ran.append("first")
        loop.stop()

    loop.call_soon(first)
    loop.run_forever()
    assert ran == ["first"]
    loop.stop()
    loop.run_forever()
    assert ran == ["first", "pushed"]


def test_the_handle_can_be_cancelled(loop: Loop) -> None:
    ran: list[str] = []
    handle = loop.call_soon_threadsafe(ran.append, "cancelled")
    assert isinstance(handle, asyncio.Handle)
    handle.cancel()
    assert handle.cancelled()
    loop.call_soon_threadsafe(loop.stop)
    loop.run_forever()
    assert ran == []


@pytest.mark.skipif(sys.version_info < (3, 14), reason="cancel() waits from 3.14 on")
def test_cancelling_from_another_thread_waits_for_the_callback_that_runs(loop: Loop) -> None:
    begun, told = threading.Event(), threading.Event()
    order: list[str] = []

    def callback() -> None:
        begun.set()
        told.wait()
        for _ in range(100):
            time.sleep(0)  # whoever does not wait gets past here
        order.append("ran")

    handle = loop.call_soon_threadsafe(callback)

    def cancel() -> None:
        begun.wait()
        told.set()
        handle.cancel()
        order.append("cancelled")
        assert handle.cancelled()
        loop.call_soon_threadsafe(loop.stop)

    with thread(cancel):
        loop.run_forever()
    assert order == ["ran", "cancelled"]


@pytest.mark.skipif(sys.version_info < (3, 14), reason="cancel() takes a lock from 3.14 on")
def test_a_callback_can_cancel_its_own_handle(loop: Loop) -> None:
    handles: list[asyncio.Handle] = []

    def callback() -> None:
        handles[0].cancel()
        loop.stop()

    handles.append(loop.call_soon_threadsafe(callback))
    loop.run_forever()
    assert handles[0].cancelled()


def test_after_close_it_raises(loop: Loop) -> None:
    loop.close()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.call_soon_threadsafe(print)


def test_after_close_it_raises_in_another_thread(loop: Loop) -> None:
    loop.close()
    errors: list[BaseException] = []

    def push() -> None:
        try:
            loop.call_soon_threadsafe(print)
        except RuntimeError as error:
            errors.append(error)

    with thread(push):
        pass
    assert [str(error) for error in errors] == ["Event loop is closed"]


def test_threads_that_push_while_the_loop_closes_get_an_error_or_nothing(
    loop_factory: LoopFactory,
) -> None:
    for _ in range(20):
        loop = loop_factory()
        begun = threading.Event()
        errors: list[str] = []

        def push(
            loop: Loop = loop, begun: threading.Event = begun, errors: list[str] = errors
        ) -> None:
            begun.set()
            while True:
                try:
                    loop.call_soon_threadsafe(int)
                except RuntimeError as error:
                    errors.append(str(error))
                    return

        with thread(push):
            begun.wait()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()
        assert errors == ["Event loop is closed"]


def test_an_error_in_the_callback_is_reported(loop: Loop, strays: Strays) -> None:
    def fail() -> None:
        raise LookupError("pushed")

    with thread(loop.call_soon_threadsafe, fail):
        pass
    loop.call_soon(loop.stop)
    loop.run_forever()
    context = strays.take_one()
    assert isinstance(context["exception"], LookupError)
    assert isinstance(context["handle"], asyncio.Handle)


def test_the_context_is_the_callers(loop: Loop) -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="unset")
    seen: list[str] = []

    def note() -> None:
        seen.append(name.get())

    def push() -> None:
        name.set("of the thread")
        loop.call_soon_threadsafe(note)
        other = contextvars.Context()
        other.run(name.set, "given")
        loop.call_soon_threadsafe(note, context=other)

    with thread(push):
        pass
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == ["of the thread", "given"]


def test_run_coroutine_threadsafe_returns_results_and_errors(loop: Loop) -> None:
    results: list[object] = []

    async def double(number: int) -> int:
        await asyncio.sleep(0)
        if number < 0:
            raise ValueError("negative")
        return number * 2

    def ask() -> None:
        results.append(asyncio.run_coroutine_threadsafe(double(21), loop).result())
        results.append(repr(asyncio.run_coroutine_threadsafe(double(-1), loop).exception()))
        loop.call_soon_threadsafe(loop.stop)

    with thread(ask):
        loop.run_forever()
    assert results == [42, "ValueError('negative')"]


def test_run_coroutine_threadsafe_can_be_cancelled_from_its_thread(loop: Loop) -> None:
    begun = threading.Event()
    ended: list[str] = []

    async def linger() -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            ended.append("cancelled")
            loop.stop()
            raise

    def cancel() -> None:
        future = asyncio.run_coroutine_threadsafe(linger(), loop)
        begun.wait()
        future.cancel()

    with thread(cancel):
        loop.run_forever()
    loop.stop()
    loop.run_forever()
    assert ended == ["cancelled"]


def test_it_can_be_called_from_a_signal_handler(loop: Loop) -> None:
    def handler(number: int, frame: object) -> None:
        loop.call_soon_threadsafe(loop.stop)

    previous = signal.signal(signal.SIGUSR1, handler)
    try:
        loop.call_soon(signal.raise_signal, signal.SIGUSR1)
        loop.run_forever()
    finally:
        signal.signal(signal.SIGUSR1, previous)


def test_many_pushes_at_rest_are_not_lost(loop: Loop) -> None:
    ran: list[int] = []
    for number in range(20_000):
        loop.call_soon_threadsafe(ran.append, number)
    loop.call_soon_threadsafe(loop.stop)
    loop.run_forever()
    assert ran == list(range(20_000))
