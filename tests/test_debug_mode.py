"""Debug mode: the checks it makes and the reports it writes."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.child import command, environment
from support.leaks import Strays
from support.loops import Loop

WRONG_THREAD = r"^Non-thread-safe operation invoked on an event loop other than the current one$"


@pytest.fixture
def debug(loop: Loop) -> Loop:
    """The loop, in debug mode."""
    loop.set_debug(True)
    return loop


async def a_coroutine_function() -> None:
    """Never to be scheduled as a callback."""


def in_thread(call: Callable[[], object]) -> BaseException | None:
    """Make the call in another thread; the error it raised."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return errors[0] if errors else None


def test_debug_mode_can_be_set_and_read(loop: Loop) -> None:
    loop.set_debug(True)
    assert loop.get_debug() is True
    loop.set_debug(False)
    assert loop.get_debug() is False


@pytest.mark.parametrize(
    ("options", "variables", "expected"),
    [
        ((), {}, "False"),
        (("-X", "dev"), {}, "True"),
        ((), {"PYTHONASYNCIODEBUG": "1"}, "True"),
        (("-E",), {"PYTHONASYNCIODEBUG": "1"}, "False"),
    ],
)
def test_the_first_mode_is_the_interpreters(
    loop_kind: str, options: tuple[str, ...], variables: dict[str, str], expected: str
) -> None:
    # -E also hides the import path of the helpers, so the program brings its own.
    inherited = environment()
    path = inherited["PYTHONPATH"].split(os.pathsep)
    program = "loop = make_loop(); print(loop.get_debug()); loop.close()"
    line = command(loop_kind, program, options=options)
    line[-1] = f"import sys; sys.path[:0] = {path!r}\n{line[-1]}"
    for name in ("PYTHONASYNCIODEBUG", "PYTHONDEVMODE"):
        inherited.pop(name, None)
    done = subprocess.run(
        line, env={**inherited, **variables}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == expected


@pytest.mark.parametrize("method", ["call_soon", "call_later", "call_at"])
def test_scheduling_from_another_thread_raises(debug: Loop, method: str) -> None:
    arguments = () if method == "call_soon" else (0,)

    async def main() -> None:
        error = in_thread(lambda: getattr(debug, method)(*arguments, print))
        assert isinstance(error, RuntimeError)
        assert re.search(WRONG_THREAD, str(error))

    debug.run_until_complete(main())


def test_scheduling_from_another_thread_is_not_checked_without_debug_mode(loop: Loop) -> None:
    loop.set_debug(False)

    async def main() -> None:
        assert in_thread(lambda: loop.call_soon(int)) is None
        await asyncio.sleep(0)

    loop.run_until_complete(main())


def test_scheduling_from_another_thread_is_not_checked_while_the_loop_rests(debug: Loop) -> None:
    ran: list[int] = []
    assert in_thread(lambda: debug.call_soon(ran.append, 1)) is None
    debug.stop()
    debug.run_forever()
    assert ran == [1]


def test_call_soon_threadsafe_is_allowed_from_another_thread(debug: Loop) -> None:
    async def main() -> None:
        done = debug.create_future()
        assert in_thread(lambda: debug.call_soon_threadsafe(done.set_result, 1)) is None
        assert await done == 1

    debug.run_until_complete(main())


def test_finishing_a_future_from_another_thread_raises(debug: Loop) -> None:
    async def main() -> None:
        future = debug.create_future()
        future.add_done_callback(lambda future: None)
        assert isinstance(in_thread(lambda: future.set_result(None)), RuntimeError)

    debug.run_until_complete(main())


@pytest.mark.parametrize(
    ("schedule", "name"),
    [
        (lambda loop, callback: loop.call_soon(callback), "call_soon"),
        (lambda loop, callback: loop.call_soon_threadsafe(callback), "call_soon_threadsafe"),
        (lambda loop, callback: loop.call_at(0, callback), "call_at"),
        (lambda loop, callback: loop.call_later(0, callback), "call_at"),
        (lambda loop, callback: loop.run_in_executor(None, callback), "run_in_executor"),
    ],
)
def test_callbacks_are_checked(debug: Loop, schedule: Callable[..., Any], name: str) -> None:
    with pytest.raises(TypeError) as caught:
        schedule(debug, 5)
    assert str(caught.value) == f"a callable object was expected by {name}(), got 5"
    with pytest.raises(TypeError) as caught:
        schedule(debug, a_coroutine_function)
    assert str(caught.value) == f"coroutines cannot be used with {name}()"
    coroutine = a_coroutine_function()
    with pytest.raises(TypeError) as caught:
        schedule(debug, coroutine)
    assert str(caught.value) == f"coroutines cannot be used with {name}()"
    coroutine.close()


def test_callbacks_that_cannot_be_called_fail_when_they_run_without_debug_mode(
    loop: Loop, strays: Strays
) -> None:
    loop.set_debug(False)
    loop.call_soon(5)  # type: ignore[arg-type]
    loop.stop()
    loop.run_forever()
    assert isinstance(strays.take_one()["exception"], TypeError)


def test_a_slow_callback_is_reported(debug: Loop, caplog: pytest.LogCaptureFixture) -> None:
    def slow() -> None: ...

    debug.slow_callback_duration = 0.0  # type: ignore[attr-defined]
    debug.call_soon(slow)
    with caplog.at_level(logging.WARNING, "asyncio"):
        debug.stop()
        debug.run_forever()
    messages = [record.getMessage() for record in caplog.records if record.name == "asyncio"]
    assert any(
        re.fullmatch(
            r"Executing <Handle .*slow\(\) at .*test_debug_mode\.py:\d+ "
            r"created at .*test_debug_mode\.py:\d+> took \d+\.\d{3} seconds",
            message,
        )
        for message in messages
    ), messages
    assert all(record.levelno == logging.WARNING for record in caplog.records)


def test_a_slow_timer_is_reported(debug: Loop, caplog: pytest.LogCaptureFixture) -> None:
    def slow() -> None: ...

    debug.slow_callback_duration = 0.0  # type: ignore[attr-defined]
    debug.call_later(0, slow)
    with caplog.at_level(logging.WARNING, "asyncio"):
        debug.stop()
        debug.run_forever()
    assert re.search(r"Executing <TimerHandle .*slow\(\).* took \d+\.\d{3} seconds", caplog.text)


def test_a_slow_task_step_is_reported_as_the_task(
    debug: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    async def slow() -> None:
        await asyncio.sleep(0)

    debug.slow_callback_duration = 0.0  # type: ignore[attr-defined]
    with caplog.at_level(logging.WARNING, "asyncio"):
        debug.run_until_complete(debug.create_task(slow(), name="the slow one"))
    assert re.search(
        r"Executing <Task .*name='the slow one' coro=<.*slow\(\).*> took \d+\.\d{3} seconds",
        caplog.text,
    )


def test_a_quick_callback_is_not_reported(debug: Loop, caplog: pytest.LogCaptureFixture) -> None:
    debug.slow_callback_duration = 3600.0  # type: ignore[attr-defined]
    debug.call_soon(int)
    with caplog.at_level(logging.WARNING, "asyncio"):
        debug.stop()
        debug.run_forever()
    assert "Executing" not in caplog.text


def test_slow_callbacks_are_not_reported_without_debug_mode(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    loop.set_debug(False)
    loop.slow_callback_duration = 0.0  # type: ignore[attr-defined]
    loop.call_soon(int)
    with caplog.at_level(logging.WARNING, "asyncio"):
        loop.stop()
        loop.run_forever()
    assert "Executing" not in caplog.text


def test_the_slow_callback_duration_is_a_tenth_of_a_second_at_first(loop: Loop) -> None:
    assert loop.slow_callback_duration == 0.1  # type: ignore[attr-defined]


def test_a_failing_callback_carries_where_it_was_scheduled(debug: Loop, strays: Strays) -> None:
    def fail() -> None:
        raise LookupError

    debug.call_soon(fail)
    debug.call_later(0, fail)
    debug.call_soon_threadsafe(fail)
    debug.call_later(0.001, debug.stop)
    debug.run_forever()
    contexts = strays.take()
    assert len(contexts) == 3
    for context in contexts:
        last = context["source_traceback"][-1]
        assert last.filename == __file__
        assert last.name == "test_a_failing_callback_carries_where_it_was_scheduled"


def test_a_task_and_a_future_know_where_they_were_made(debug: Loop, strays: Strays) -> None:
    async def main() -> None:
        future = debug.create_future()
        assert " created at " in repr(future)
        future.set_exception(LookupError())
        del future
        task = asyncio.ensure_future(asyncio.sleep(0))
        assert " created at " in repr(task)
        await task

    debug.run_until_complete(main())
    frames = strays.take_one()["source_traceback"]
    assert (__file__, "main") in [(frame.filename, frame.name) for frame in frames]


def test_coroutines_know_their_origin_while_a_debug_loop_runs(debug: Loop) -> None:
    before = sys.get_coroutine_origin_tracking_depth()
    seen: list[int] = []
    debug.call_soon(lambda: seen.append(sys.get_coroutine_origin_tracking_depth()))
    debug.stop()
    debug.run_forever()
    assert seen[0] > 0
    assert sys.get_coroutine_origin_tracking_depth() == before


def test_debug_mode_can_be_changed_while_the_loop_runs(loop: Loop) -> None:
    loop.set_debug(False)
    before = sys.get_coroutine_origin_tracking_depth()

    async def main() -> None:
        loop.set_debug(True)
        with pytest.raises(TypeError):
            loop.call_soon(5)  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sys.get_coroutine_origin_tracking_depth() > before
        loop.set_debug(False)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sys.get_coroutine_origin_tracking_depth() == before

    loop.run_until_complete(main())


def test_a_coroutine_never_awaited_warns_with_its_origin(debug: Loop) -> None:
    async def forgotten() -> None: ...

    async def main() -> None:
        with pytest.warns(RuntimeWarning, match=r"(?s)never awaited.*created at.*main"):
            forgotten()

    debug.run_until_complete(main())
