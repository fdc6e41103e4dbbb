"""``Handle`` and ``TimerHandle``: state, comparison, hash, repr."""

from __future__ import annotations

import asyncio
import re
import sys
import weakref

import pytest
from support.loops import Loop


def sample_callback(*args: object) -> None:
    """Stands for a user's callback."""


def test_handles_are_asyncio_handles(loop: Loop) -> None:
    soon = loop.call_soon(sample_callback)
    threadsafe = loop.call_soon_threadsafe(sample_callback)
    later = loop.call_later(1, sample_callback)
    at = loop.call_at(1, sample_callback)
    for handle in (soon, threadsafe, later, at):
        assert isinstance(handle, asyncio.Handle)
    assert isinstance(later, asyncio.TimerHandle)
    assert isinstance(at, asyncio.TimerHandle)
    assert not isinstance(soon, asyncio.TimerHandle)


def test_cancelled_tells_whether_cancel_was_called(loop: Loop) -> None:
    for handle in (loop.call_soon(sample_callback), loop.call_later(1, sample_callback)):
        assert not handle.cancelled()
        handle.cancel()
        assert handle.cancelled()
        handle.cancel()
        assert handle.cancelled()


def test_a_handle_that_ran_is_not_cancelled(loop: Loop) -> None:
    handle = loop.call_soon(sample_callback)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert not handle.cancelled()


def test_handles_can_be_weakly_referenced(loop: Loop) -> None:
    handle = loop.call_soon(sample_callback)
    timer = loop.call_later(1, sample_callback)
    assert weakref.ref(handle)() is handle
    assert weakref.ref(timer)() is timer
    timer.cancel()


def test_timers_compare_by_their_deadline(loop: Loop) -> None:
    early = loop.call_at(100, sample_callback)
    late = loop.call_at(200, sample_callback)
    assert early < late
    assert early <= late
    assert late > early
    assert late >= early
    assert early != late
    assert not late < early
    assert not late <= early
    assert not early > late
    assert not early >= late
    assert sorted([late, early]) == [early, late]


def test_timers_are_equal_when_all_they_hold_is(loop: Loop) -> None:
    first = loop.call_at(100, sample_callback, 1)
    same = loop.call_at(100, sample_callback, 1)
    other_argument = loop.call_at(100, sample_callback, 2)
    other_callback = loop.call_at(100, print, 1)
    assert first == first
    assert first == same
    assert first <= same
    assert first >= same
    assert first != other_argument
    assert first != other_callback
    same.cancel()
    assert first != same


def test_timers_do_not_compare_with_other_things(loop: Loop) -> None:
    timer = loop.call_at(100, sample_callback)
    handle = loop.call_soon(sample_callback)
    assert timer != 100
    assert (timer == handle) is False
    for other in (100, handle, None):
        with pytest.raises(TypeError):
            timer < other  # type: ignore[operator]  # noqa: B015
        with pytest.raises(TypeError):
            timer >= other  # type: ignore[operator]  # noqa: B015


def test_the_hash_of_a_timer_is_that_of_its_deadline(loop: Loop) -> None:
    one = loop.call_at(123.5, sample_callback)
    two = loop.call_at(123.5, print)
    assert hash(one) == hash(two) == hash(123.5)
    assert len({one, two}) == 2


def test_plain_handles_compare_by_identity(loop: Loop) -> None:
    one = loop.call_soon(sample_callback)
    two = loop.call_soon(sample_callback)
    assert one == one
    assert one != two
    assert len({one, two, one}) == 2
    with pytest.raises(TypeError):
        one < two  # type: ignore[operator]  # noqa: B015


def test_repr_names_the_callback_and_where_it_is_from(loop: Loop) -> None:
    loop.set_debug(False)
    handle = loop.call_soon(sample_callback, 1, "two")
    line = sample_callback.__code__.co_firstlineno
    # From 3.13 on the arguments, which may be secret, are told in debug mode only.
    arguments = r"1, 'two'" if sys.version_info < (3, 13) else ""
    assert re.fullmatch(
        rf"<Handle sample_callback\({arguments}\) at .*test_handles\.py:{line}>", repr(handle)
    )


def test_repr_of_a_timer_tells_the_deadline(loop: Loop) -> None:
    loop.set_debug(False)
    timer = loop.call_at(123.5, sample_callback)
    line = sample_callback.__code__.co_firstlineno
    assert re.fullmatch(
        rf"<TimerHandle when=123\.5 sample_callback\(\) at .*test_handles\.py:{line}>", repr(timer)
    )


def test_repr_of_a_cancelled_handle_says_so(loop: Loop) -> None:
    loop.set_debug(False)
    handle = loop.call_soon(sample_callback)
    timer = loop.call_at(123.5, sample_callback)
    handle.cancel()
    timer.cancel()
    assert repr(handle) == "<Handle cancelled>"
    assert repr(timer) == "<TimerHandle cancelled when=123.5>"


def test_repr_in_debug_mode_tells_where_the_handle_was_made(loop: Loop) -> None:
    loop.set_debug(True)
    handle = loop.call_soon(sample_callback)
    assert re.fullmatch(
        r"<Handle sample_callback\(\) at .*test_handles\.py:\d+ "
        r"created at .*test_handles\.py:\d+>",
        repr(handle),
    )
    handle.cancel()
    assert re.fullmatch(
        r"<Handle cancelled sample_callback\(\) at .*test_handles\.py:\d+ "
        r"created at .*test_handles\.py:\d+>",
        repr(handle),
    )


def test_repr_of_a_builtin_callback(loop: Loop) -> None:
    loop.set_debug(False)
    assert repr(loop.call_soon(print)) == "<Handle print()>"


def test_the_repr_of_a_cancelled_handle_in_debug_mode_keeps_the_arguments(loop: Loop) -> None:
    loop.set_debug(True)
    handle = loop.call_soon(sample_callback, "kept")
    handle.cancel()
    assert "sample_callback('kept')" in repr(handle)


def test_a_handle_made_by_hand_can_be_cancelled(loop: Loop) -> None:
    handle = asyncio.Handle(sample_callback, (), loop)
    handle.cancel()
    assert handle.cancelled()


def test_handles_have_no_public_constructor_effects_on_the_loop(loop: Loop) -> None:
    ran: list[int] = []
    asyncio.Handle(ran.append, (1,), loop)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert ran == []
