"""What is particular to Rondel's own locks, events and queues.

Their behaviour as asyncio's is proven by CPython's own tests (``conformance.synchronisation``).
"""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import Awaitable, Coroutine
from typing import Any

import pytest
import rondel
from support.loops import Loop


def test_they_are_asyncios_as_far_as_isinstance_can_tell() -> None:
    assert isinstance(rondel.Lock(), asyncio.Lock)
    assert isinstance(rondel.Event(), asyncio.Event)
    assert isinstance(rondel.Queue(), asyncio.Queue)


@pytest.mark.parametrize("made", [rondel.Lock, rondel.Event, rondel.Queue])
def test_they_show_their_own_name(made: type) -> None:
    class Named(made):  # type: ignore[misc]
        pass

    assert made.__name__ in repr(made())
    assert "Named" in repr(Named())


@pytest.mark.parametrize("made", [rondel.Lock, rondel.Event, rondel.Queue])
def test_they_have_attributes_and_weak_references_and_are_collected_in_cycles(made: type) -> None:
    own = made()
    own.itself = own
    gone = weakref.ref(own)
    del own
    gc.collect()
    assert gone() is None


async def test_a_cycle_through_a_queue_and_its_items_is_collected(loop: Loop) -> None:
    queue = rondel.Queue[Any]()
    queue.put_nowait(queue)
    gone = weakref.ref(queue)
    del queue
    gc.collect()
    assert gone() is None


async def test_nothing_happens_before_the_await(loop: Loop) -> None:
    lock = rondel.Lock()
    taken = lock.acquire()
    assert not lock.locked()
    assert await taken is True
    assert lock.locked()
    queue = rondel.Queue[int]()
    put = queue.put(1)
    assert queue.empty()
    await put
    assert queue.qsize() == 1


async def test_what_is_free_is_taken_without_a_turn_of_the_loop(loop: Loop) -> None:
    turns = []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    async with rondel.Lock():
        pass
    event = rondel.Event()
    event.set()
    await event.wait()
    queue = rondel.Queue[int]()
    await queue.put(1)
    assert await queue.get() == 1
    await rondel.Queue[int]().join()
    assert not turns


def calls() -> list[tuple[str, Coroutine[Any, Any, Any]]]:
    return [
        ("Lock.acquire", rondel.Lock().acquire()),
        ("Lock.__aenter__", rondel.Lock().__aenter__()),
        ("Event.wait", rondel.Event().wait()),
        ("Queue.get", rondel.Queue[int]().get()),
        ("Queue.put", rondel.Queue[int]().put(1)),
        ("Queue.join", rondel.Queue[int]().join()),
    ]


def test_what_is_never_awaited_is_warned_of() -> None:
    made = calls()
    while made:
        name, call = made.pop()
        with pytest.warns(RuntimeWarning, match=f"coroutine '{name}' was never awaited"):
            del call


def test_what_is_closed_is_not() -> None:
    for name, call in calls():
        assert asyncio.iscoroutine(call)
        assert isinstance(call, Awaitable)
        assert repr(call).startswith(f"<coroutine object {name} at ")
        call.close()
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            call.send(None)


async def test_a_call_is_awaited_once(loop: Loop) -> None:
    event = rondel.Event()
    waits = event.wait()
    task = asyncio.create_task(waits)
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="coroutine is being awaited already"):
        await waits
    event.set()
    assert await task is True
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        await waits


async def test_closing_one_who_waits_takes_it_out(loop: Loop) -> None:
    lock, event = rondel.Lock(), rondel.Event()
    await lock.acquire()
    for waits in (lock.acquire(), event.wait()):
        waits.send(None)
        waits.close()
    waits = event.wait()
    waits.send(None)
    assert "waiters:1" in repr(event)
    del waits
    assert "waiters" not in repr(lock) + repr(event)


async def test_a_lock_goes_round_in_the_order_of_arrival_past_those_who_are_cancelled(
    loop: Loop,
) -> None:
    lock = rondel.Lock()
    order = []

    async def contender(number: int) -> None:
        async with lock:
            order.append(number)
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(contender(number)) for number in range(9)]
    await asyncio.sleep(0)
    for task in tasks[1::3]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [0, 2, 3, 5, 6, 8]
    assert not lock.locked()


async def test_a_task_that_is_cancelled_when_its_turn_has_come_passes_it_on(loop: Loop) -> None:
    lock = rondel.Lock()
    await lock.acquire()
    first, second = (asyncio.create_task(lock.acquire()) for _ in range(2))
    await asyncio.sleep(0)
    lock.release()
    first.cancel()
    assert await asyncio.wait_for(second, 10)
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_an_item_whose_getter_is_cancelled_goes_to_the_next(loop: Loop) -> None:
    queue = rondel.Queue[int]()
    first, second = (asyncio.create_task(queue.get()) for _ in range(2))
    await asyncio.sleep(0)
    queue.put_nowait(1)
    first.cancel()
    assert await asyncio.wait_for(second, 10) == 1
    assert first.cancelled()


async def test_room_whose_putter_is_cancelled_goes_to_the_next(loop: Loop) -> None:
    queue = rondel.Queue[int](1)
    queue.put_nowait(0)
    first, second = (asyncio.create_task(queue.put(number)) for number in (1, 2))
    await asyncio.sleep(0)
    assert queue.get_nowait() == 0
    first.cancel()
    await asyncio.wait_for(second, 10)
    assert queue.get_nowait() == 2
    assert first.cancelled()


def test_another_loop_may_not_wait() -> None:
    lock, event, queue = rondel.Lock(), rondel.Event(), rondel.Queue[int]()

    async def wait_for_each() -> None:
        if not lock.locked():
            await lock.acquire()
        for waits in (lock.acquire(), event.wait(), queue.get()):
            task = asyncio.ensure_future(waits)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled() and (error := task.exception()):
                errors.append(error)

    errors: list[BaseException] = []
    rondel.run(wait_for_each())
    assert not errors
    rondel.run(wait_for_each())
    assert [str(error) for error in errors] == [
        f"{own!r} is bound to a different event loop" for own in (lock, event, queue)
    ]


async def test_a_subclass_has_its_own_methods_called(loop: Loop) -> None:
    class Counting(rondel.Lock):
        acquired = released = 0

        async def acquire(self) -> Any:
            taken = await super().acquire()
            self.acquired += 1
            return taken

        def release(self) -> None:
            self.released += 1
            super().release()

    lock = Counting()

    async def contender() -> None:
        async with lock:
            await asyncio.sleep(0)

    await asyncio.gather(*(contender() for _ in range(5)))
    assert (lock.acquired, lock.released) == (5, 5)


class Newest(rondel.Queue[int]):
    """A queue that overrides what asyncio says may be."""

    _queue: list[int]

    def _init(self, maxsize: int) -> None:
        self._queue = []

    def _put(self, item: int) -> None:
        self._queue.append(item)

    def _get(self) -> int:
        return self._queue.pop()


class Distinct(rondel.Queue[int]):
    """One that looks into the deque and uses it."""

    _queue: Any

    def _put(self, item: int) -> None:
        if item not in self._queue:
            self._queue.append(item)


class Weighed(rondel.Queue[int]):
    """One that measures its size in another way, and counts what goes in and out."""

    passed = 0

    def qsize(self) -> int:
        return sum(self._queue)  # type: ignore[attr-defined]

    def put_nowait(self, item: int) -> None:
        super().put_nowait(item)
        self.passed += 1

    def get_nowait(self) -> int:
        self.passed += 1
        return super().get_nowait()


async def test_subclasses_of_the_queue_keep_items_as_they_like(loop: Loop) -> None:
    newest, distinct, weighed = Newest(), Distinct(), Weighed(10)
    for item in (1, 2, 2, 3):
        await newest.put(item)
        await distinct.put(item)
    assert [await newest.get() for _ in range(4)] == [3, 2, 2, 1]
    assert [await distinct.get() for _ in range(3)] == [1, 2, 3]
    assert newest.empty()
    assert distinct.empty()
    await weighed.put(9)
    assert not weighed.full()
    await weighed.put(1)
    assert weighed.full()
    waits = asyncio.create_task(weighed.put(5))
    await asyncio.sleep(0)
    assert await weighed.get() == 9
    await waits
    assert weighed.passed == 4
    assert "_queue=[1, 5]" in repr(weighed)


def test_the_deque_of_a_queue_is_the_one_that_is_used() -> None:
    queue = rondel.Queue[int]()
    queue.put_nowait(1)
    items: Any = queue._queue  # type: ignore[attr-defined]
    items.append(2)
    queue.put_nowait(3)
    assert [queue.get_nowait() for _ in range(3)] == [1, 2, 3]
    assert not items


@pytest.mark.skipif(sys.version_info < (3, 13), reason="asyncio's queues have it from 3.13 on")
async def test_an_immediate_shutdown_lets_everybody_go(loop: Loop) -> None:
    queue = rondel.Queue[int](1)
    queue.put_nowait(1)
    putter = asyncio.create_task(queue.put(2))
    joiner = asyncio.create_task(queue.join())
    await asyncio.sleep(0)
    queue.shutdown(immediate=True)
    with pytest.raises(asyncio.QueueShutDown):
        await putter
    await joiner
    with pytest.raises(asyncio.QueueShutDown):
        await queue.get()
    with pytest.raises(asyncio.QueueShutDown):
        queue.put_nowait(3)


async def test_a_condition_of_asyncios_takes_our_lock(loop: Loop) -> None:
    condition = asyncio.Condition(rondel.Lock())
    async with condition:
        waits = asyncio.create_task(condition.wait())
        waits.cancel()
    await asyncio.wait([waits])
    async with condition:
        condition.notify_all()


def suspended_puts(count: int) -> Coroutine[Any, Any, None] | None:
    """The last of many coroutines, each of which waits to put the one before into a full queue."""
    queue = rondel.Queue[Any](1)
    queue.put_nowait(None)
    put = None
    for _ in range(count):
        last, put = put, None
        put = queue.put(last)
        put.send(None)
        del last
    return put


def test_a_deep_chain_of_coroutines_is_given_up() -> None:
    async def main() -> None:
        put = suspended_puts(20_000)
        assert put is not None
        del put
        gc.collect()

    rondel.run(main(), debug=False)


async def test_an_error_of_a_queue_tells_what_was_being_handled(loop: Loop) -> None:
    try:
        raise ValueError("handled")
    except ValueError as handled:
        with pytest.raises(asyncio.QueueEmpty) as caught:
            rondel.Queue[int]().get_nowait()
        assert caught.value.__context__ is handled


@pytest.mark.parametrize("made", [rondel.Lock, rondel.Event, rondel.Queue])
def test_who_waits_without_a_loop_binds_nothing(made: Any, loop: Loop) -> None:
    own = made()

    def wait() -> Coroutine[Any, Any, object]:
        if isinstance(own, asyncio.Lock):
            return own.acquire()
        return own.wait() if isinstance(own, asyncio.Event) else own.get()

    if isinstance(own, asyncio.Lock):
        with pytest.raises(StopIteration):
            wait().send(None)
    with pytest.raises(AttributeError):
        wait().send(None)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wait(), 0)

    loop.run_until_complete(main())


async def test_a_value_cannot_be_sent_to_a_coroutine_that_has_not_begun(loop: Loop) -> None:
    wait = rondel.Event().wait()
    with pytest.raises(TypeError, match="non-None value to a just-started coroutine"):
        wait.send(5)
    wait.close()


def test_the_size_of_a_queue_is_changed_as_asyncios_is() -> None:
    queue = rondel.Queue[int](1)
    queue.put_nowait(1)
    queue._maxsize = 2
    assert queue.maxsize == 2
    queue.put_nowait(2)
    assert queue.full()


def test_a_subclass_says_how_it_is_shown() -> None:
    class Named(rondel.Queue[int]):
        def _format(self) -> str:
            return "mine"

    assert str(Named()) == "<Named mine>"


@pytest.mark.skipif(sys.version_info < (3, 13), reason="queues are shut down from 3.13 on")
def test_a_queue_says_that_it_is_shut_down() -> None:
    queue = rondel.Queue[int]()
    assert queue._is_shutdown is False
    queue.shutdown()
    assert queue._is_shutdown is True


class Done:
    """Says when it is collected that an item of a queue is done with."""

    def __init__(self, queue: rondel.Queue[int]) -> None:
        self.itself = self
        self.queue = queue

    def __del__(self) -> None:
        self.queue.task_done()


async def test_an_item_that_a_finalizer_is_done_with_is_not_waited_for(loop: Loop) -> None:
    """Whenever the collector runs it: some of these times, within the call."""
    thresholds = gc.get_threshold()
    try:
        for _ in range(5):
            queue = rondel.Queue[int]()
            queue.put_nowait(0)
            gc.disable()
            Done(queue)
            join = queue.join()
            gc.set_threshold(1, 1, 1)
            gc.enable()
            waiting = asyncio.create_task(join)
            await asyncio.sleep(0)
            gc.set_threshold(*thresholds)
            gc.collect()
            await asyncio.wait_for(waiting, 10)
    finally:
        gc.set_threshold(*thresholds)
        gc.enable()
