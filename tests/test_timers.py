"""``call_later`` and ``call_at``: deadlines, order, odd values, cancellation."""

from __future__ import annotations

import asyncio
import gc
import math
import random
import weakref
from decimal import Decimal
from fractions import Fraction

import pytest
from support.leaks import Strays
from support.loops import STDLIB, Loop
from support.net import turns


def run_for(loop: Loop, seconds: float) -> None:
    loop.run_until_complete(asyncio.sleep(seconds))


def test_a_timer_never_fires_early(loop: Loop) -> None:
    fired: list[tuple[float, float]] = []
    for delay in (0.0, 0.0004, 0.001, 0.0015, 0.01):
        deadline = loop.time() + delay
        loop.call_at(deadline, lambda deadline=deadline: fired.append((deadline, loop.time())))
    run_for(loop, 0.05)
    assert len(fired) == 5
    resolution = 1e-6
    assert all(now >= deadline - resolution for deadline, now in fired)


def test_timers_fire_in_the_order_of_their_deadlines(loop: Loop) -> None:
    fired: list[int] = []
    base = loop.time() + 0.005
    order = list(range(200))
    random.Random(1).shuffle(order)
    for rank in order:
        loop.call_at(base + rank * 1e-6, fired.append, rank)
    run_for(loop, 0.03)
    assert fired == list(range(200))


def test_timers_of_the_past_fire_in_the_order_of_their_deadlines(loop: Loop) -> None:
    fired: list[int] = []
    now = loop.time()
    for rank in (3, 1, 2, 0):
        loop.call_at(now - 10 + rank, fired.append, rank)
    run_for(loop, 0.001)
    assert fired == [0, 1, 2, 3]


def test_equal_deadlines_fire_in_insertion_order(loop: Loop, loop_kind: str) -> None:
    if loop_kind == STDLIB:
        pytest.skip("the standard library keeps a heap that does not promise this order")
    fired: list[int] = []
    deadline = loop.time() + 0.002
    for number in range(1000):
        loop.call_at(deadline, fired.append, number)
    run_for(loop, 0.02)
    assert fired == list(range(1000))


def test_a_due_timer_runs_after_what_was_ready(loop: Loop) -> None:
    ran: list[str] = []
    loop.call_at(loop.time() - 1, ran.append, "timer")
    loop.call_soon(ran.append, "ready")
    loop.stop()
    loop.run_forever()
    assert ran == ["ready", "timer"]


@pytest.mark.parametrize("delay", [0, -0.0, -1, -1e9, -math.inf, -(10**6)])
def test_a_delay_that_is_not_positive_is_due_at_once(loop: Loop, delay: float) -> None:
    ran: list[str] = []
    loop.call_later(delay, ran.append, "timer")
    loop.stop()
    loop.run_forever()
    assert ran == ["timer"]


def test_a_timer_scheduled_by_a_callback_waits_for_the_next_turn(loop: Loop) -> None:
    ran: list[str] = []

    def schedule() -> None:
        loop.call_later(0, ran.append, "timer")

    loop.call_soon(schedule)
    loop.stop()
    loop.run_forever()
    assert ran == []
    loop.stop()
    loop.run_forever()
    assert ran == ["timer"]


def test_call_later_zero_from_a_timer_takes_a_turn_each(loop: Loop) -> None:
    ran: list[int] = []

    def again(left: int) -> None:
        ran.append(left)
        if left:
            loop.call_later(0, again, left - 1)

    loop.call_later(0, again, 5)
    for taken in range(6):
        loop.stop()
        loop.run_forever()
        assert len(ran) == taken + 1


@pytest.mark.parametrize("delay", [1, 0, True, -5, 10**6])
def test_delays_may_be_integers(loop: Loop, delay: int) -> None:
    before = loop.time()
    handle = loop.call_later(delay, print)
    assert before + delay <= handle.when() <= loop.time() + delay
    handle.cancel()


@pytest.mark.parametrize("when", [10**9, 0, -3, 2.5, True])
def test_when_is_what_was_asked_for(loop: Loop, when: float) -> None:
    handle = loop.call_at(when, print)
    assert handle.when() == when
    handle.cancel()


def test_delays_may_be_numbers_of_other_types(loop: Loop) -> None:
    before = loop.time()
    handle = loop.call_later(Fraction(7, 2), print)  # type: ignore[arg-type]
    assert before + 3.5 <= handle.when() <= loop.time() + 3.5
    handle.cancel()


@pytest.mark.parametrize("delay", ["1", [], object(), Decimal(1)])
def test_delays_that_cannot_be_added_to_the_time_are_rejected(loop: Loop, delay: object) -> None:
    with pytest.raises(TypeError):
        loop.call_later(delay, print)  # type: ignore[arg-type]


def test_no_delay_is_rejected_by_name(loop: Loop) -> None:
    with pytest.raises(TypeError, match=r"^delay must not be None$"):
        loop.call_later(None, print)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^when cannot be None$"):
        loop.call_at(None, print)  # type: ignore[arg-type]


@pytest.mark.parametrize("delay", [1e6, 1e12, 1e300, math.inf])
def test_a_huge_delay_never_fires_and_does_not_stop_the_loop(loop: Loop, delay: float) -> None:
    fired: list[str] = []
    handle = loop.call_later(delay, fired.append, "huge")
    run_for(loop, 0.002)
    assert fired == []
    assert handle.when() == pytest.approx(loop.time() + delay)
    handle.cancel()


def test_a_huge_delay_alone_lets_the_loop_sleep_and_wake(loop: Loop) -> None:
    handle = loop.call_later(1e12, print)
    woken = loop.run_until_complete(loop.run_in_executor(None, lambda: "woken"))
    assert woken == "woken"
    handle.cancel()


def test_a_deadline_beyond_float_is_rejected_or_kept_but_never_fires(loop: Loop) -> None:
    try:
        handle = loop.call_later(10**400, print)
    except OverflowError:
        return
    handle.cancel()


def test_cancel_before_the_deadline(loop: Loop) -> None:
    fired: list[str] = []
    handle = loop.call_later(0.001, fired.append, "cancelled")
    handle.cancel()
    assert handle.cancelled()
    run_for(loop, 0.005)
    assert fired == []


def test_a_timer_can_cancel_another_due_in_the_same_turn(loop: Loop) -> None:
    fired: list[str] = []
    now = loop.time()
    loop.call_at(now - 2, lambda: second.cancel())
    second = loop.call_at(now - 1, fired.append, "cancelled")
    loop.call_at(now, fired.append, "kept")
    run_for(loop, 0.001)
    assert fired == ["kept"]


def test_cancelling_all_timers_leaves_the_loop_working(loop: Loop) -> None:
    handles = [loop.call_later(0.001 * (i % 7), print) for i in range(1000)]
    for handle in reversed(handles):
        handle.cancel()
    run_for(loop, 0.01)


def test_cancelling_from_within_keeps_the_order_of_the_others(loop: Loop) -> None:
    fired: list[int] = []
    base = loop.time() + 0.002
    handles = [loop.call_at(base + i * 1e-6, fired.append, i) for i in range(500)]
    loop.call_at(base - 1, lambda: [handle.cancel() for handle in handles[::2]])
    run_for(loop, 0.02)
    assert fired == list(range(1, 500, 2))


def test_cancelled_timers_do_not_pile_up(loop: Loop) -> None:
    class Held:
        def __call__(self) -> None:
            raise AssertionError("ran")

    alive: list[weakref.ref[Held]] = []

    async def churn() -> None:
        for _ in range(50):
            for _ in range(100):
                callback = Held()
                alive.append(weakref.ref(callback))
                loop.call_later(3600, callback).cancel()
            del callback
            await asyncio.sleep(0)

    loop.run_until_complete(churn())
    gc.collect()
    assert sum(ref() is not None for ref in alive) == 0


def test_a_timer_that_raises_is_reported_and_the_others_fire(loop: Loop, strays: Strays) -> None:
    fired: list[str] = []

    def fail() -> None:
        raise LookupError("timer")

    now = loop.time()
    handle = loop.call_at(now - 2, fail)
    loop.call_at(now - 1, fired.append, "next")
    run_for(loop, 0.001)
    assert fired == ["next"]
    context = strays.take_one()
    assert isinstance(context["exception"], LookupError)
    assert context["handle"] is handle


def test_a_timer_wakes_a_sleeping_loop_in_time(loop: Loop) -> None:
    before = loop.time()
    loop.call_later(0.02, loop.stop)
    loop.run_forever()
    assert 0.02 - 1e-6 <= loop.time() - before < 5


def test_an_earlier_timer_set_by_a_later_callback_is_heeded(loop: Loop) -> None:
    fired: list[str] = []
    far = loop.call_later(3600, fired.append, "far")
    loop.call_soon(lambda: loop.call_later(0.001, loop.stop))
    loop.run_forever()
    assert fired == []
    far.cancel()


def test_timers_on_a_closed_loop_raise(loop: Loop) -> None:
    loop.close()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.call_later(0, print)
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.call_at(0, print)


async def test_the_time_is_read_anew_in_each_turn(loop: Loop) -> None:
    times = []
    for _ in range(3):
        await asyncio.sleep(0.002)
        times.append(loop.time())
    assert times == sorted(times)
    assert times[2] - times[0] >= 0.004 - 1e-6


async def test_a_cancelled_sleep_forgets_its_timer(loop: Loop) -> None:
    task = loop.create_task(asyncio.sleep(3600))
    await turns(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
