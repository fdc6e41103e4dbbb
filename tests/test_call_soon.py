"""``call_soon``: order, turns, arguments, cancellation."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from functools import partial
from typing import Any

import pytest
from support.leaks import Strays
from support.loops import Loop
from support.net import turns


def test_callbacks_run_in_the_order_of_their_scheduling(loop: Loop) -> None:
    ran: list[int] = []
    for number in range(1000):
        loop.call_soon(ran.append, number)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert ran == list(range(1000))


def test_arguments_are_passed_on(loop: Loop) -> None:
    seen: list[tuple[Any, ...]] = []

    def note(*args: Any) -> None:
        seen.append(args)

    marker = object()
    for count in range(12):
        loop.call_soon(note, *([marker] * count))
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == [(marker,) * count for count in range(12)]


def test_a_turn_runs_what_was_ready_when_it_began(loop: Loop) -> None:
    ran: list[str] = []

    def first() -> None:
        ran.append("first")
        loop.call_soon(ran.append, "scheduled in the turn")
        loop.stop()

    loop.call_soon(first)
    loop.call_soon(ran.append, "second")
    loop.run_forever()
    assert ran == ["first", "second"]
    loop.stop()
    loop.run_forever()
    assert ran == ["first", "second", "scheduled in the turn"]


async def test_a_chain_of_callbacks_takes_a_turn_a_link(loop: Loop) -> None:
    links: list[int] = []

    def link(left: int) -> None:
        links.append(left)
        if left:
            loop.call_soon(link, left - 1)

    loop.call_soon(link, 10)
    for taken in range(11):
        await asyncio.sleep(0)
        assert len(links) == taken + 1


async def test_an_endless_chain_starves_neither_timers_nor_sockets(loop: Loop) -> None:
    stop = False

    def spin() -> None:
        if not stop:
            loop.call_soon(spin)

    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        loop.call_soon(spin)
        await asyncio.sleep(0.001)
        right.send(b"x")
        assert await loop.sock_recv(left, 1) == b"x"
        stop = True
        await turns(2)


def test_the_result_of_a_callback_is_dropped(loop: Loop) -> None:
    class Result:
        pass

    results: list[weakref.ref[Result]] = []

    def give() -> Result:
        result = Result()
        results.append(weakref.ref(result))
        return result

    loop.call_soon(give)
    loop.call_soon(loop.stop)
    loop.run_forever()
    gc.collect()
    assert results[0]() is None


def test_a_callback_that_raises_is_reported_and_the_rest_runs(loop: Loop, strays: Strays) -> None:
    ran: list[str] = []

    def fail() -> None:
        raise LookupError("callback")

    loop.call_soon(ran.append, "before")
    handle = loop.call_soon(fail)
    loop.call_soon(ran.append, "after")
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert ran == ["before", "after"]
    context = strays.take_one()
    assert context["message"].startswith("Exception in callback ")
    assert "fail()" in context["message"]
    assert isinstance(context["exception"], LookupError)
    assert context["handle"] is handle


def test_a_cancelled_callback_does_not_run(loop: Loop) -> None:
    ran: list[str] = []
    handle = loop.call_soon(ran.append, "cancelled")
    loop.call_soon(ran.append, "kept")
    handle.cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert ran == ["kept"]


def test_a_callback_can_cancel_one_of_the_same_turn(loop: Loop) -> None:
    ran: list[str] = []
    loop.call_soon(lambda: later.cancel())
    later = loop.call_soon(ran.append, "cancelled")
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert ran == []


def test_a_callback_can_cancel_itself(loop: Loop) -> None:
    ran: list[str] = []

    def cancel_self() -> None:
        handle.cancel()
        ran.append("went on")

    handle = loop.call_soon(cancel_self)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert ran == ["went on"]
    assert handle.cancelled()


def test_cancelling_after_the_run_does_nothing(loop: Loop) -> None:
    ran: list[str] = []
    handle = loop.call_soon(ran.append, "ran")
    loop.call_soon(loop.stop)
    loop.run_forever()
    handle.cancel()
    handle.cancel()
    assert ran == ["ran"]


def test_a_cancelled_handle_lets_go_of_its_callback_and_arguments(loop: Loop) -> None:
    class Held:
        def __call__(self, argument: object) -> None:
            raise AssertionError("ran")

    callback, argument = Held(), Held()
    alive = [weakref.ref(callback), weakref.ref(argument)]
    handle = loop.call_soon(callback, argument)
    handle.cancel()
    del callback, argument
    gc.collect()
    loop.call_soon(loop.stop)
    loop.run_forever()
    gc.collect()
    assert [ref() for ref in alive] == [None, None]


def test_a_callback_that_ran_is_let_go(loop: Loop) -> None:
    class Held:
        def __call__(self) -> None:
            pass

    callback = Held()
    alive = weakref.ref(callback)
    loop.call_soon(callback)
    del callback
    loop.call_soon(loop.stop)
    loop.run_forever()
    gc.collect()
    assert alive() is None


class WithMethods:
    def __init__(self) -> None:
        self.seen: list[object] = []

    def method(self, value: object) -> None:
        self.seen.append(value)

    @classmethod
    def class_method(cls, seen: list[object]) -> None:
        seen.append(cls)

    @staticmethod
    def static_method(seen: list[object]) -> None:
        seen.append("static")

    def __call__(self, value: object) -> None:
        self.seen.append(("called", value))


def test_anything_callable_can_be_scheduled(loop: Loop) -> None:
    target = WithMethods()
    seen = target.seen
    loop.call_soon(target.method, 1)
    loop.call_soon(WithMethods.class_method, seen)
    loop.call_soon(target.static_method, seen)
    loop.call_soon(target, 2)
    loop.call_soon(partial(target.method, 3))
    loop.call_soon(seen.append, 4)
    loop.call_soon(lambda value: seen.append(value), 5)
    loop.call_soon(dict, ())
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == [1, WithMethods, "static", ("called", 2), 3, 4, 5]


def test_a_method_bound_to_a_temporary_object_keeps_it_alive(loop: Loop) -> None:
    seen: list[object] = []

    class Temporary:
        def method(self) -> None:
            seen.append(type(self))

    loop.call_soon(Temporary().method)
    gc.collect()
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == [Temporary]


def test_keyword_arguments_other_than_context_are_rejected(loop: Loop) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        loop.call_soon(print, end="")  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        loop.call_soon()  # type: ignore[call-arg]


def test_scheduling_on_a_closed_loop_raises(loop: Loop) -> None:
    loop.close()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.call_soon(print)


async def test_twenty_thousand_links_do_not_recurse(loop: Loop) -> None:
    left = 20_000
    done = loop.create_future()

    def again() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(again)
        else:
            done.set_result(None)

    loop.call_soon(again)
    await done
    assert left == 0


def test_callbacks_scheduled_between_runs_run_in_the_next(loop: Loop) -> None:
    ran: list[int] = []
    for run in range(5):
        loop.call_soon(ran.append, run)
        loop.call_soon(loop.stop)
        loop.run_forever()
        assert ran == list(range(run + 1))
