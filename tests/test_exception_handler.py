"""Where errors that nobody awaits end up."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.leaks import ErrorLog, Strays
from support.loops import Context, Loop
from support.net import turns
from support.protocols import Recorder
from support.tls_peer import taken


def run_one_turn(loop: Loop) -> None:
    loop.stop()
    loop.run_forever()


def fail() -> None:
    raise LookupError("from the callback")


def test_there_is_no_handler_at_first(loop: Loop) -> None:
    loop.set_exception_handler(None)
    assert loop.get_exception_handler() is None


def test_the_handler_can_be_set_read_and_taken_away(loop: Loop) -> None:
    def handler(loop: Loop, context: Context) -> None: ...

    loop.set_exception_handler(handler)
    assert loop.get_exception_handler() is handler
    loop.set_exception_handler(None)
    assert loop.get_exception_handler() is None


@pytest.mark.parametrize("wrong", [5, "handler", object()])
def test_the_handler_must_be_callable(loop: Loop, wrong: object) -> None:
    with pytest.raises(TypeError, match=r"^A callable object or None is expected, got "):
        loop.set_exception_handler(wrong)  # type: ignore[arg-type]


def test_without_a_handler_a_failing_callback_is_logged(
    loop: Loop, asyncio_errors: ErrorLog
) -> None:
    loop.set_exception_handler(None)
    loop.set_debug(False)
    loop.call_soon(fail)
    run_one_turn(loop)
    (record,) = asyncio_errors.take()
    assert record.name == "asyncio"
    assert record.levelno == logging.ERROR
    lines = record.getMessage().splitlines()
    assert lines[0].startswith("Exception in callback fail() at ")
    assert lines[1].startswith("handle: <Handle fail() at ")
    assert len(lines) == 2
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)


def test_in_debug_mode_the_log_tells_where_the_callback_was_scheduled(
    loop: Loop, asyncio_errors: ErrorLog
) -> None:
    loop.set_exception_handler(None)
    loop.set_debug(True)
    loop.call_soon(fail)
    run_one_turn(loop)
    (record,) = asyncio_errors.take()
    text = record.getMessage()
    assert "Object created at (most recent call last):" in text
    assert "loop.call_soon(fail)" in text


def test_the_handler_gets_the_loop_and_the_context(loop: Loop) -> None:
    calls: list[tuple[Loop, Context]] = []
    loop.set_exception_handler(lambda loop, context: calls.append((loop, context)))
    handle = loop.call_soon(fail)
    run_one_turn(loop)
    ((given, context),) = calls
    assert given is loop
    assert context["handle"] is handle
    assert isinstance(context["exception"], LookupError)
    assert context["message"].startswith("Exception in callback fail()")
    assert ("source_traceback" in context) is loop.get_debug()


def test_call_exception_handler_hands_the_context_on_unchanged(loop: Loop) -> None:
    calls: list[Context] = []
    loop.set_exception_handler(lambda loop, context: calls.append(context))
    context = {"message": "mine", "extra": object()}
    loop.call_exception_handler(context)
    assert calls == [context]
    assert calls[0] is context


def test_the_default_handler_writes_every_key_in_order(
    loop: Loop, asyncio_errors: ErrorLog
) -> None:
    loop.default_exception_handler({"zebra": 1, "message": "headline", "apple": "two"})
    (record,) = asyncio_errors.take()
    assert record.getMessage() == "headline\napple: 'two'\nzebra: 1"
    assert not record.exc_info


def test_the_default_handler_has_a_message_for_contexts_without_one(
    loop: Loop, asyncio_errors: ErrorLog
) -> None:
    loop.default_exception_handler({"exception": LookupError("bare")})
    (record,) = asyncio_errors.take()
    assert record.getMessage() == "Unhandled exception in event loop"
    assert record.exc_info
    assert isinstance(record.exc_info[1], LookupError)


def test_a_handler_may_call_the_default_one(loop: Loop, asyncio_errors: ErrorLog) -> None:
    def handler(loop: Loop, context: Context) -> None:
        loop.default_exception_handler({**context, "added": True})

    loop.set_exception_handler(handler)
    loop.call_soon(fail)
    run_one_turn(loop)
    (record,) = asyncio_errors.take()
    assert "added: True" in record.getMessage()


def test_a_handler_that_raises_is_logged_with_what_it_was_given(
    loop: Loop, asyncio_errors: ErrorLog
) -> None:
    def handler(loop: Loop, context: Context) -> None:
        raise ZeroDivisionError("in the handler")

    loop.set_exception_handler(handler)
    ran: list[str] = []
    loop.call_soon(fail)
    loop.call_soon(ran.append, "after")
    run_one_turn(loop)
    (record,) = asyncio_errors.take()
    text = record.getMessage()
    assert text.startswith("Unhandled error in exception handler")
    assert "from the callback" in text
    assert record.exc_info
    assert isinstance(record.exc_info[1], ZeroDivisionError)
    assert ran == ["after"]


def test_a_default_handler_that_raises_is_logged(loop: Loop, asyncio_errors: ErrorLog) -> None:
    def broken(context: Context) -> None:
        raise ZeroDivisionError("in the default handler")

    loop.set_exception_handler(None)
    loop.default_exception_handler = broken  # type: ignore[method-assign]
    loop.call_soon(fail)
    run_one_turn(loop)
    (record,) = asyncio_errors.take()
    assert record.getMessage() == "Exception in default exception handler"
    assert record.exc_info
    assert isinstance(record.exc_info[1], ZeroDivisionError)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_exit_raised_by_the_handler_leaves_the_run(
    loop: Loop, error: type[BaseException]
) -> None:
    def handler(loop: Loop, context: Context) -> None:
        raise error("enough")

    loop.set_exception_handler(handler)
    ran: list[str] = []
    loop.call_soon(fail)
    loop.call_soon(ran.append, "after")
    with pytest.raises(error, match="enough"):
        loop.run_forever()
    assert ran == []
    run_one_turn(loop)
    assert ran == ["after"]


def test_an_exit_raised_in_a_callback_is_not_reported(loop: Loop) -> None:
    calls: list[Context] = []
    loop.set_exception_handler(lambda loop, context: calls.append(context))

    def leave() -> None:
        raise SystemExit(1)

    loop.call_soon(leave)
    with pytest.raises(SystemExit):
        loop.run_forever()
    assert calls == []


def test_a_task_whose_error_nobody_took_is_reported(loop: Loop, strays: Strays) -> None:
    async def crash() -> None:
        raise LookupError("unseen")

    task = loop.create_task(crash())
    run_one_turn(loop)
    assert task.done()
    del task
    gc.collect()
    context = strays.take_one()
    assert context["message"] == "Task exception was never retrieved"
    assert isinstance(context["exception"], LookupError)
    assert isinstance(context["future"], asyncio.Task)


def test_a_future_whose_error_nobody_took_is_reported(loop: Loop, strays: Strays) -> None:
    future = loop.create_future()
    future.set_exception(LookupError("unseen"))
    del future
    gc.collect()
    context = strays.take_one()
    assert context["message"] == "Future exception was never retrieved"
    assert isinstance(context["exception"], LookupError)


def test_a_pending_task_that_is_collected_is_reported(loop: Loop, strays: Strays) -> None:
    async def wait() -> None:
        await loop.create_future()

    task = loop.create_task(wait())
    run_one_turn(loop)
    del task
    gc.collect()
    context = strays.take_one()
    assert context["message"] == "Task was destroyed but it is pending!"
    assert isinstance(context["task"], asyncio.Task)
    assert ("source_traceback" in context) is loop.get_debug()
    # The context brought the task back to life; a loop of 3.14 knows it until it is gone.
    del context
    gc.collect()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the handler's context is set from 3.12 on")
def test_the_handler_runs_in_the_context_of_what_failed(loop: Loop) -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="unset")
    seen: list[str] = []
    loop.set_exception_handler(lambda loop, context: seen.append(name.get()))
    other = contextvars.Context()
    other.run(name.set, "of the callback")
    loop.call_soon(fail, context=other)
    run_one_turn(loop)

    async def crash() -> None:
        name.set("of the task")
        raise LookupError("unseen")

    task = loop.create_task(crash())
    run_one_turn(loop)
    del task
    gc.collect()
    assert seen == ["of the callback", "of the task"]


def test_errors_of_another_threads_loop_reach_its_own_handler(loop: Loop) -> None:
    calls: list[Context] = []
    loop.set_exception_handler(lambda loop, context: calls.append(context))
    loop.call_soon_threadsafe(fail)
    run_one_turn(loop)
    assert len(calls) == 1


def test_the_traceback_of_a_failing_callback_begins_in_the_user_code_or_the_loop(
    loop: Loop, strays: Strays
) -> None:
    loop.call_soon(fail)
    run_one_turn(loop)
    traceback = strays.take_one()["exception"].__traceback__
    names = []
    while traceback is not None:
        names.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    assert names[-1] == "fail"


class Failing(Recorder):
    """Fails when it hears of what it is told to fail at."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at = at

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.at == "connection_made":
            fail()

    def data_received(self, data: bytes) -> None:
        if self.at == "data_received":
            fail()


async def fail_in_a_protocol(loop: Loop, at: str) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        transport, _ = await loop.connect_accepted_socket(lambda: Failing(at), ours)
        theirs.send(b"x")
        await taken(transport)
        transport.close()
        await turns(5)


async def fail_in_a_reader(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    called = asyncio.Event()

    def read() -> None:
        called.set()
        loop.remove_reader(ours)
        fail()

    with ours, theirs:
        loop.add_reader(ours, read)
        theirs.send(b"x")
        await called.wait()


async def fail_in_a_done_callback(loop: Loop) -> None:
    future = loop.create_future()
    future.add_done_callback(lambda future: fail())
    future.set_result(None)
    await turns(2)


async def fail_in_a_timer(loop: Loop) -> None:
    over = loop.create_future()
    loop.call_later(0, fail)
    loop.call_later(0, over.set_result, None)
    await over


@pytest.mark.parametrize(
    "failing",
    [
        fail_in_a_reader,
        fail_in_a_done_callback,
        fail_in_a_timer,
        lambda loop: fail_in_a_protocol(loop, "connection_made"),
        lambda loop: fail_in_a_protocol(loop, "data_received"),
    ],
    ids=["reader", "done callback", "timer", "connection_made", "data_received"],
)
async def test_the_error_is_the_handled_one_while_the_handler_runs(
    loop: Loop, failing: Callable[[Loop], Awaitable[None]]
) -> None:
    """So that a handler may use `logging.exception`."""
    seen: list[tuple[Any, Any]] = []

    def handler(loop: Loop, context: Context) -> None:
        assert context["exception"].__traceback__ is not None
        seen.append((sys.exc_info()[1], context["exception"]))

    loop.set_exception_handler(handler)
    await failing(loop)
    [(handled, reported)] = seen
    assert handled is reported
    assert isinstance(reported, LookupError)
    assert sys.exc_info() == (None, None, None)


def test_what_the_handler_raises_has_the_error_as_its_context(
    loop: Loop, asyncio_errors: ErrorLog
) -> None:
    def handler(loop: Loop, context: Context) -> None:
        raise RuntimeError("from the handler")

    loop.set_exception_handler(handler)
    loop.call_soon(fail)
    run_one_turn(loop)
    [record] = asyncio_errors.take()
    assert record.exc_info
    error = record.exc_info[1]
    assert isinstance(error, RuntimeError)
    assert isinstance(error.__context__, LookupError)
