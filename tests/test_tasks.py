"""Tasks: steps, results, names, factories, introspection."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import io
import sys
import weakref
from collections.abc import Coroutine, Generator
from typing import Any

import pytest
from support.leaks import Strays
from support.loops import Loop, LoopFactory
from support.net import turns


async def answer(value: Any = 42) -> Any:
    await asyncio.sleep(0)
    return value


async def test_create_task_returns_a_task_that_runs(loop: Loop) -> None:
    task = loop.create_task(answer())
    assert isinstance(task, asyncio.Task)
    assert isinstance(task, asyncio.Future)
    assert asyncio.isfuture(task)
    assert not task.done()
    assert task.get_loop() is loop
    assert await task == 42
    assert task.done()
    assert task.result() == 42
    assert task.exception() is None
    assert not task.cancelled()


async def test_a_task_takes_its_first_step_in_the_next_turn(loop: Loop) -> None:
    steps: list[str] = []

    async def walk() -> None:
        steps.append("first")
        await asyncio.sleep(0)
        steps.append("second")

    task = loop.create_task(walk())
    assert steps == []
    await asyncio.sleep(0)
    assert steps == ["first"]
    await asyncio.sleep(0)
    assert steps == ["first", "second"]
    await task


async def test_tasks_take_turns_in_the_order_of_their_making(loop: Loop) -> None:
    steps: list[tuple[int, int]] = []

    async def walk(name: int) -> None:
        for step in range(3):
            steps.append((step, name))
            await asyncio.sleep(0)

    await asyncio.gather(*(walk(name) for name in range(10)))
    assert steps == [(step, name) for step in range(3) for name in range(10)]


async def test_an_error_is_raised_by_every_await_of_the_task(loop: Loop) -> None:
    async def fail() -> None:
        raise LookupError("failed")

    task = loop.create_task(fail())
    for _ in range(2):
        with pytest.raises(LookupError, match="failed"):
            await task
    assert isinstance(task.exception(), LookupError)
    with pytest.raises(LookupError):
        task.result()


async def test_result_and_exception_of_a_running_task_are_not_ready(loop: Loop) -> None:
    task = loop.create_task(answer())
    with pytest.raises(asyncio.InvalidStateError, match=r"Result is not (set|ready)\.$"):
        task.result()
    with pytest.raises(asyncio.InvalidStateError, match=r"^Exception is not set\.$"):
        task.exception()
    await task


async def test_a_tasks_outcome_cannot_be_set_from_outside(loop: Loop) -> None:
    task = loop.create_task(answer())
    with pytest.raises(RuntimeError, match="Task does not support set_result operation"):
        task.set_result(1)
    with pytest.raises(RuntimeError, match="Task does not support set_exception operation"):
        task.set_exception(LookupError())
    await task


@pytest.mark.parametrize("wrong", [5, None, "text", answer])
async def test_only_coroutines_become_tasks(loop: Loop, wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"^a coroutine was expected, got "):
        loop.create_task(wrong)


def test_create_task_on_a_closed_loop_raises(loop: Loop) -> None:
    loop.close()
    coroutine = answer()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.create_task(coroutine)
    coroutine.close()


async def test_several_can_await_one_task(loop: Loop) -> None:
    task = loop.create_task(answer())

    async def wait() -> int:
        result: int = await task
        return result

    assert await asyncio.gather(wait(), wait(), task) == [42, 42, 42]


async def test_a_task_cannot_await_itself(loop: Loop) -> None:
    async def narcissus() -> None:
        await task

    task = loop.create_task(narcissus())
    with pytest.raises(RuntimeError, match=r"^Task cannot await on itself: <Task "):
        await task


async def test_a_task_must_not_yield_anything_but_futures(loop: Loop) -> None:
    class Yields:
        def __init__(self, value: object) -> None:
            self.value = value

        def __await__(self) -> Generator[Any]:
            yield self.value

    async def wait(value: object) -> None:
        await Yields(value)

    with pytest.raises(RuntimeError, match=r"^Task got bad yield: 5$"):
        await loop.create_task(wait(5))
    future = loop.create_future()
    with pytest.raises(
        RuntimeError, match=r"^yield was used instead of yield from in task <Task .* with <Future "
    ):
        await loop.create_task(wait(future))
    future.cancel()


async def test_a_task_that_yields_nothing_goes_on_in_the_next_turn(loop: Loop) -> None:
    class Pause:
        def __await__(self) -> Generator[None, None, str]:
            value: Any = yield
            assert value is None
            return "resumed"

    async def wait() -> str:
        return await Pause()

    assert await loop.create_task(wait()) == "resumed"


def test_a_task_cannot_await_another_loops_future(loop_factory: LoopFactory) -> None:
    ours, theirs = loop_factory(), loop_factory()
    future = theirs.create_future()

    async def wait() -> None:
        await future

    with pytest.raises(RuntimeError, match=r"^Task <Task .* attached to a different loop$"):
        ours.run_until_complete(wait())
    ours.close()
    theirs.close()


async def test_stop_iteration_in_a_coroutine_becomes_a_runtime_error(loop: Loop) -> None:
    async def stop() -> None:
        raise StopIteration(5)

    with pytest.raises(RuntimeError, match="coroutine raised StopIteration"):
        await loop.create_task(stop())


async def test_a_generator_based_awaitable_gets_the_futures_result(loop: Loop) -> None:
    future = loop.create_future()

    class Waits:
        def __await__(self) -> Generator[Any, Any, Any]:
            return (yield from future)

    async def wait() -> Any:
        return await Waits()

    task = loop.create_task(wait())
    loop.call_soon(future.set_result, "through")
    assert await task == "through"


async def test_deeply_nested_coroutines_resume(loop: Loop) -> None:
    async def nest(depth: int) -> int:
        if depth:
            return await nest(depth - 1) + 1
        await asyncio.sleep(0)
        return 0

    assert await nest(300) == 300


async def test_a_long_chain_of_tasks_resolves(loop: Loop) -> None:
    async def follow(previous: asyncio.Future[int]) -> int:
        return await previous + 1

    first = loop.create_future()
    last: asyncio.Future[int] = first
    for _ in range(5000):
        last = loop.create_task(follow(last))
    first.set_result(0)
    assert await last == 5000


# Names and repr


async def test_tasks_are_numbered_or_named(loop: Loop) -> None:
    numbered = loop.create_task(answer())
    named = loop.create_task(answer(), name="named")
    assert numbered.get_name().startswith("Task-")
    assert named.get_name() == "named"
    named.set_name(7)
    assert named.get_name() == "7"
    await asyncio.gather(numbered, named)


async def test_repr_tells_state_name_and_coroutine(loop: Loop) -> None:
    loop.set_debug(False)
    task = loop.create_task(answer(), name="sample")
    text = repr(task)
    assert text.startswith("<Task pending name='sample' coro=<answer() running at ")
    assert text.endswith(">")
    await asyncio.sleep(0)
    waiter = loop.create_future()

    async def wait() -> None:
        await waiter

    waiting = loop.create_task(wait())
    await asyncio.sleep(0)
    assert " wait_for=<Future pending cb=[" in repr(waiting)
    waiter.set_result(None)
    await asyncio.gather(task, waiting)
    assert repr(task).startswith("<Task finished name='sample' coro=<answer() done, defined at ")
    assert repr(task).endswith(" result=42>")


# Done callbacks


async def test_done_callbacks_run_in_order_in_a_later_turn(loop: Loop) -> None:
    ran: list[object] = []
    task = loop.create_task(answer())
    task.add_done_callback(lambda done: ran.append((1, done)))
    task.add_done_callback(lambda done: ran.append((2, done)))
    await task
    await asyncio.sleep(0)
    assert ran == [(1, task), (2, task)]


async def test_done_callbacks_can_be_removed(loop: Loop) -> None:
    ran: list[object] = []
    task = loop.create_task(answer())
    task.add_done_callback(ran.append)
    task.add_done_callback(ran.append)
    assert task.remove_done_callback(ran.append) == 2
    assert task.remove_done_callback(ran.append) == 0
    await task
    await asyncio.sleep(0)
    assert ran == []


# Introspection


async def test_current_task_is_the_one_that_runs(loop: Loop) -> None:
    seen: list[asyncio.Task[Any] | None] = []

    async def ask() -> None:
        seen.append(asyncio.current_task())
        await asyncio.sleep(0)
        seen.append(asyncio.current_task(loop))

    task = loop.create_task(ask())
    loop.call_soon(lambda: seen.append(asyncio.current_task()))
    await task
    assert seen == [task, None, task]
    assert asyncio.current_task() is not task


async def test_all_tasks_holds_those_not_done(loop: Loop) -> None:
    before = asyncio.all_tasks()
    waiting = loop.create_task(asyncio.sleep(3600))
    done = loop.create_task(answer())
    assert asyncio.all_tasks() - before == {waiting, done}
    await done
    assert asyncio.all_tasks(loop) - before == {waiting}
    waiting.cancel()
    await asyncio.wait([waiting])
    assert asyncio.all_tasks() == before


async def test_a_task_knows_its_coroutine_and_stack(loop: Loop) -> None:
    waiter = loop.create_future()

    async def wait() -> None:
        await waiter

    coroutine = wait()
    task = loop.create_task(coroutine)
    await asyncio.sleep(0)
    assert task.get_coro() is coroutine
    (frame,) = task.get_stack()
    assert frame.f_code.co_name == "wait"
    out = io.StringIO()
    task.print_stack(file=out)
    assert "await waiter" in out.getvalue()
    waiter.set_result(None)
    await task
    assert task.get_stack() == []


async def test_a_task_runs_in_its_own_copy_of_the_context(loop: Loop) -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="unset")

    async def change() -> str:
        seen = name.get()
        name.set("changed")
        await asyncio.sleep(0)
        assert name.get() == "changed"
        return seen

    name.set("outer")
    assert await loop.create_task(change()) == "outer"
    assert name.get() == "outer"
    given = contextvars.copy_context()
    assert await loop.create_task(change(), context=given) == "outer"
    assert given[name] == "changed"


async def test_a_finished_task_is_freed_with_what_it_held(loop: Loop) -> None:
    class Held:
        pass

    held = Held()
    alive = weakref.ref(held)

    async def hold(held: Held) -> None:
        await asyncio.sleep(0)

    task = loop.create_task(hold(held))
    del held
    await task
    await turns()  # the step that woke us held the task
    task_alive = weakref.ref(task)
    del task
    gc.collect()
    assert alive() is None
    assert task_alive() is None


async def test_a_task_nobody_holds_still_finishes(loop: Loop) -> None:
    done = asyncio.Event()

    async def work() -> None:
        for _ in range(3):
            await asyncio.sleep(0.001)
            gc.collect()
        done.set()

    loop.create_task(work())
    gc.collect()
    await done.wait()


# Factories


async def test_a_task_factory_makes_the_tasks(loop: Loop) -> None:
    class Marked(asyncio.Task):  # type: ignore[type-arg]
        pass

    def factory(loop: Loop, coro: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
        return Marked(coro, loop=loop, **options)

    loop.set_task_factory(factory)  # type: ignore[arg-type]
    assert loop.get_task_factory() is factory
    task = loop.create_task(answer(), name="marked")
    assert type(task) is Marked
    assert task.get_name() == "marked"
    assert await task == 42
    assert type(asyncio.create_task(asyncio.sleep(0))) is Marked
    assert await asyncio.gather(answer(1), answer(2)) == [1, 2]
    loop.set_task_factory(None)
    assert loop.get_task_factory() is None
    assert type(plain := loop.create_task(answer())) is not Marked
    await plain


async def test_subclasses_of_task_and_future_run_on_the_loop(loop: Loop) -> None:
    class MyFuture(asyncio.Future):  # type: ignore[type-arg]
        pass

    future = MyFuture(loop=loop)
    loop.call_soon(future.set_result, 1)
    assert await future == 1
    task = asyncio.Task(answer(2), loop=loop, name="by hand")
    assert await task == 2


@pytest.mark.parametrize("wrong", [5, "factory", object()])
def test_the_task_factory_must_be_callable(loop: Loop, wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"^task factory must be a callable or None$"):
        loop.set_task_factory(wrong)


async def test_the_errors_of_a_step_name_the_task(loop: Loop, strays: Strays) -> None:
    async def crash() -> None:
        raise LookupError("unseen")

    task = loop.create_task(crash(), name="crashing")
    await asyncio.wait([task])
    del task
    gc.collect()
    context = strays.take_one()
    assert context["future"].get_name() == "crashing"
    context.clear()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Task.get_context came with 3.12")
async def test_a_task_gives_its_context(loop: Loop) -> None:
    context = contextvars.copy_context()
    task = loop.create_task(answer(), context=context)
    assert task.get_context() is context
    await task
