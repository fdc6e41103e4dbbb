"""`_ready` and `_scheduled`: asyncio's private queues, into which monitors and tests look."""

from __future__ import annotations

from typing import Any


def take_turn(loop: Any) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_a_handle_is_in_ready_until_it_has_run(loop: Any) -> None:
    handles = [loop.call_soon(bool) for _ in range(3)]
    assert list(loop._ready) == handles
    take_turn(loop)
    assert not loop._ready


def test_a_timer_is_in_scheduled_until_it_is_due(loop: Any) -> None:
    later = loop.call_later(3600, bool)
    soon = loop.call_later(0, bool)
    assert later in loop._scheduled
    assert soon in loop._scheduled
    assert len(loop._scheduled) == 2
    assert not loop._ready
    while soon in loop._scheduled:
        take_turn(loop)
    assert list(loop._scheduled) == [later]
    later.cancel()


def test_a_closed_loop_has_nothing_queued(loop: Any) -> None:
    loop.call_soon(bool)
    loop.call_later(3600, bool)
    loop.close()
    assert not loop._ready
    assert not loop._scheduled


def test_a_test_can_run_until_nothing_is_ready(loop: Any) -> None:
    left = 5
    ran = []

    def again() -> None:
        ran.append(True)
        if len(ran) < left:
            loop.call_soon(again)

    loop.call_soon(again)
    while loop._ready:
        take_turn(loop)
    assert len(ran) == left
