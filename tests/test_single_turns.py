"""Loops that are run turn by turn, from within another loop, by the parts of `run_forever`.

CPython has these parts as methods from 3.13 on, for subclasses that have a `run_forever` of their
own; Rondel has them on every Python.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.loops import STDLIB, Loop


@contextmanager
def running(loop: Loop) -> Iterator[None]:
    if not hasattr(loop, "_run_forever_setup"):
        pytest.skip("asyncio has the parts of run_forever from 3.13 on")
    loop._run_forever_setup()
    try:
        yield
    finally:
        loop._run_forever_cleanup()


def test_a_turn_runs_what_was_ready_and_no_more(loop: Loop) -> None:
    ran = []

    def first() -> None:
        ran.append("first")
        loop.call_soon(ran.append, "next turn's")

    loop.call_soon(first)
    loop.call_soon(ran.append, "second")
    with running(loop):
        assert asyncio.get_running_loop() is loop
        loop._run_once()
        assert ran == ["first", "second"]
        loop._run_once()
    assert ran == ["first", "second", "next turn's"]
    assert not loop.is_running()


def test_a_turn_with_nothing_ready_waits_for_the_next_deadline(loop: Loop) -> None:
    ran = []
    due = loop.time() + 0.02
    loop.call_at(due, ran.append, "due")
    with running(loop):
        while not ran:
            loop._run_once()
    assert loop.time() >= due - loop._clock_resolution


def test_a_turn_with_nothing_ready_waits_for_an_event(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, running(loop):
        received = []
        loop.add_reader(ours, lambda: received.append(ours.recv(10)))
        theirs.send(b"event")
        while not received:
            loop._run_once()
        loop.remove_reader(ours)
    assert received == [b"event"]


def test_stop_is_seen_by_who_runs_the_turns_and_ends_with_the_run(loop: Loop) -> None:
    with running(loop):
        loop.call_soon(loop.stop)
        assert not loop._stopping
        loop._run_once()
        assert loop._stopping
    assert not loop._stopping
    loop.run_until_complete(asyncio.sleep(0))


def test_a_closed_loop_runs_no_turn(loop: Loop) -> None:
    loop.close()
    with pytest.raises((RuntimeError, AttributeError)):
        loop._run_once()


def test_a_turn_cannot_be_run_from_within_a_turn(loop: Loop, loop_kind: str) -> None:
    if loop_kind == STDLIB:
        pytest.skip("asyncio does not look; the turns of both would be confused")
    raised = []

    def nested() -> None:
        with pytest.raises(RuntimeError, match="This event loop is already running"):
            loop._run_once()
        raised.append(True)

    loop.call_soon(nested)
    with running(loop):
        loop._run_once()
    assert raised
