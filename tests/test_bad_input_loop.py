"""Wrong arguments and wrong moments: the loop's methods fail as the standard loop's do.

Each case makes one call on both loops and compares what came of it: the exception's type and
message, or the result, and the errors that were reported while the loop ran on.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import signal
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from support import side_by_side
from support.side_by_side import compare

Call = Callable[[Any], Any]

pytestmark = pytest.mark.usefixtures("only_sockets_left_to_the_collector")


class Awaitable:
    """Can be awaited, is no coroutine."""

    def __await__(self) -> Any:
        return asyncio.sleep(0, "awaited").__await__()


VALUES: dict[str, Any] = {
    "none": None,
    "zero": 0,
    "minus one": -1,
    "float": 1.5,
    "true": True,
    "text": "text",
    "bytes": b"bytes",
    "tuple": (),
    "list": [],
    "dict": {},
    "object": object(),
    "class": int,
    "fraction": Fraction(1000),
    "awaitable": Awaitable(),
}
NUMBERS: dict[str, Any] = {
    **VALUES,
    "nan": math.nan,
    "inf": math.inf,
    "minus inf": -math.inf,
    "huge float": 1e300,
    "huge int": 10**30,
    "int beyond float": 10**400,
    "numeric text": "1",
}

CALLBACKS: dict[str, Callable[[Any, Any], Any]] = {
    "call_soon(callback)": lambda loop, value: loop.call_soon(value) and None,
    "call_soon_threadsafe(callback)": lambda loop, value: loop.call_soon_threadsafe(value) and None,
    "call_later(callback)": lambda loop, value: loop.call_later(-1, value) and None,
    "call_at(callback)": lambda loop, value: loop.call_at(0, value) and None,
    "run_in_executor(function)": lambda loop, value: loop.run_in_executor(None, value),
    "call_soon(context)": lambda loop, value: loop.call_soon(int, context=value) and None,
    "call_later(context)": lambda loop, value: loop.call_later(-1, int, context=value) and None,
    "call_at(context)": lambda loop, value: loop.call_at(0, int, context=value) and None,
    "call_soon_threadsafe(context)": lambda loop, value: (
        loop.call_soon_threadsafe(int, context=value) and None
    ),
}
OTHERS: dict[str, Callable[[Any, Any], Any]] = {
    "create_task(coroutine)": lambda loop, value: loop.create_task(value),
    "run_until_complete(future)": lambda loop, value: loop.run_until_complete(value),
    "set_exception_handler": lambda loop, value: loop.set_exception_handler(value),
    "set_task_factory": lambda loop, value: (
        loop.set_task_factory(value) or loop.set_task_factory(None)
    ),
    "set_default_executor": lambda loop, value: loop.set_default_executor(value),
    "run_in_executor(executor)": lambda loop, value: loop.run_in_executor(value, int),
    "set_debug": lambda loop, value: loop.set_debug(value) or loop.set_debug(False),
    "add_reader(descriptor)": lambda loop, value: loop.add_reader(value, int),
    "add_writer(descriptor)": lambda loop, value: loop.add_writer(value, int),
    "remove_reader(descriptor)": lambda loop, value: loop.remove_reader(value),
    "remove_writer(descriptor)": lambda loop, value: loop.remove_writer(value),
    "remove_signal_handler": lambda loop, value: loop.remove_signal_handler(value),
    "getaddrinfo(port)": lambda loop, value: loop.getaddrinfo("127.0.0.1", value),
    "getnameinfo": lambda loop, value: loop.getnameinfo(value),
    "create_server(factory)": lambda loop, value: serve_and_close(loop, value),
    "create_server(port)": lambda loop, value: serve_and_close(loop, int, port=value),
    "create_server(backlog)": lambda loop, value: serve_and_close(loop, int, backlog=value),
    "create_server(socket)": lambda loop, value: loop.create_server(int, sock=value),
    "create_server(ssl)": lambda loop, value: serve_and_close(loop, int, ssl=value),
    "create_connection(socket)": lambda loop, value: loop.create_connection(int, sock=value),
    "connect_accepted_socket": lambda loop, value: loop.connect_accepted_socket(int, value),
    "create_datagram_endpoint(socket)": lambda loop, value: loop.create_datagram_endpoint(
        int, sock=value
    ),
}
RAN = {"message": "ran"}
DELAYS: dict[str, Callable[[Any, Any], Any]] = {
    "call_later(delay)": lambda loop, value: (
        loop.call_later(value, loop.call_exception_handler, RAN) and None
    ),
    "call_at(when)": lambda loop, value: (
        loop.call_at(value, loop.call_exception_handler, RAN) and None
    ),
}


async def serve_and_close(loop: Any, factory: Any, **options: Any) -> None:
    arguments = {"host": "127.0.0.1", "port": 0, "start_serving": True, **options}
    server = await loop.create_server(factory, **arguments)
    server.close()
    await server.wait_closed()


def cases(calls: dict[str, Callable[[Any, Any], Any]], values: dict[str, Any]) -> list[Any]:
    return [
        pytest.param(lambda loop, call=call, value=value: call(loop, value), id=f"{name}-{label}")
        for name, call in calls.items()
        for label, value in values.items()
        # Python 3.13 began to warn that a bool is no descriptor.
        if not (label == "true" and name in ("add_reader(descriptor)", "add_writer(descriptor)"))
    ]


@pytest.mark.parametrize("call", cases(CALLBACKS, VALUES))
def test_what_is_scheduled(call: Call) -> None:
    compare(side_by_side.on_a_running_loop, call)


@pytest.mark.parametrize("call", cases(CALLBACKS, VALUES))
def test_what_is_scheduled_in_debug_mode(call: Call) -> None:
    compare(side_by_side.on_a_running_loop_in_debug_mode, call)


@pytest.mark.parametrize("call", cases(DELAYS, NUMBERS))
def test_deadlines(call: Call) -> None:
    # The standard loop takes any deadline and fails, in its own words, when it compares it.
    compare(side_by_side.on_a_resting_loop, call, messages=False)


@pytest.mark.parametrize("call", cases(OTHERS, VALUES))
def test_other_arguments(call: Call) -> None:
    compare(side_by_side.on_a_running_loop, call)


@pytest.mark.parametrize("call", cases(OTHERS, VALUES))
def test_other_arguments_while_the_loop_rests(call: Call) -> None:
    compare(side_by_side.on_a_resting_loop, call)


MOMENTS: dict[str, Call] = {
    "call_soon": lambda loop: loop.call_soon(int) and None,
    "call_soon not callable": lambda loop: loop.call_soon(5) and None,
    "call_soon_threadsafe": lambda loop: loop.call_soon_threadsafe(int) and None,
    "call_soon_threadsafe not callable": lambda loop: loop.call_soon_threadsafe(5) and None,
    "call_later": lambda loop: loop.call_later(0, int) and None,
    "call_later negative": lambda loop: loop.call_later(-1, int) and None,
    "call_later none": lambda loop: loop.call_later(None, int) and None,
    "call_later not callable": lambda loop: loop.call_later(0, 5) and None,
    "call_at": lambda loop: loop.call_at(0, int) and None,
    "call_at none": lambda loop: loop.call_at(None, int) and None,
    "call_at text": lambda loop: loop.call_later("1", int) and None,
    "time": lambda loop: loop.time() > 0,
    "stop": lambda loop: loop.stop(),
    "is_running": lambda loop: loop.is_running(),
    "is_closed": lambda loop: loop.is_closed(),
    "close": lambda loop: loop.close(),
    "run_forever": lambda loop: loop.run_forever() if loop.is_closed() else None,
    "run_until_complete nothing": lambda loop: loop.run_until_complete(None),
    "create_future": lambda loop: loop.create_future() and None,
    "create_task nothing": lambda loop: loop.create_task(None),
    "run_in_executor": lambda loop: loop.run_in_executor(None, int),
    "run_in_executor not callable": lambda loop: loop.run_in_executor(None, 5),
    "set_default_executor": lambda loop: loop.set_default_executor(5),
    "add_reader": lambda loop: loop.add_reader(0, int) or loop.remove_reader(0),
    "add_writer": lambda loop: loop.add_writer(0, int) or loop.remove_writer(0),
    "add_reader bad descriptor": lambda loop: loop.add_reader(10**6, int),
    "add_reader negative": lambda loop: loop.add_reader(-1, int),
    "add_writer negative": lambda loop: loop.add_writer(-1, int),
    "remove_reader negative": lambda loop: loop.remove_reader(-1),
    "remove_writer negative": lambda loop: loop.remove_writer(-1),
    "remove_reader never added": lambda loop: loop.remove_reader(0),
    "remove_writer never added": lambda loop: loop.remove_writer(0),
    "remove_reader bad descriptor": lambda loop: loop.remove_reader(10**6),
    "remove_writer bad descriptor": lambda loop: loop.remove_writer(10**6),
    "add_signal_handler": lambda loop: (
        loop.add_signal_handler(signal.SIGUSR1, int) or loop.remove_signal_handler(signal.SIGUSR1)
    ),
    "add_signal_handler zero": lambda loop: loop.add_signal_handler(0, int),
    "add_signal_handler text": lambda loop: loop.add_signal_handler("USR1", int),
    "add_signal_handler kill": lambda loop: loop.add_signal_handler(signal.SIGKILL, int),
    "add_signal_handler not callable": lambda loop: (
        loop.add_signal_handler(signal.SIGUSR1, 5) or loop.remove_signal_handler(signal.SIGUSR1)
    ),
    "remove_signal_handler": lambda loop: loop.remove_signal_handler(signal.SIGUSR1),
    "getaddrinfo": lambda loop: loop.getaddrinfo("127.0.0.1", 80),
    "getnameinfo": lambda loop: loop.getnameinfo(("127.0.0.1", 80), 3),
    "create_server": lambda loop: serve_and_close(loop, int),
    "create_server nothing": lambda loop: loop.create_server(int),
    "create_connection nothing": lambda loop: loop.create_connection(int),
    "create_connection bad port": lambda loop: loop.create_connection(int, "127.0.0.1", -1),
    "create_connection huge port": lambda loop: loop.create_connection(int, "127.0.0.1", 10**6),
    "create_datagram_endpoint nothing": lambda loop: loop.create_datagram_endpoint(int),
    "create_unix_server nothing": lambda loop: loop.create_unix_server(int),
    "create_unix_server number": lambda loop: loop.create_unix_server(int, 5),
    "create_unix_connection nothing": lambda loop: loop.create_unix_connection(int),
    "create_unix_connection missing": lambda loop: loop.create_unix_connection(int, "/no/such"),
    "connect_read_pipe": lambda loop: loop.connect_read_pipe(int, None),
    "connect_write_pipe": lambda loop: loop.connect_write_pipe(int, None),
    "subprocess_exec number": lambda loop: loop.subprocess_exec(int, 5),
    "subprocess_shell number": lambda loop: loop.subprocess_shell(int, 5),
    "sendfile nothing": lambda loop: loop.sendfile(None, None),
    "start_tls nothing": lambda loop: loop.start_tls(None, None, None),
    "shutdown_asyncgens": lambda loop: loop.shutdown_asyncgens(),
    "shutdown_default_executor": lambda loop: loop.shutdown_default_executor(),
    "set_exception_handler number": lambda loop: loop.set_exception_handler(5),
    "set_task_factory number": lambda loop: loop.set_task_factory(5),
    "get_exception_handler": lambda loop: loop.get_exception_handler() and None,
    "get_task_factory": lambda loop: loop.get_task_factory(),
    "call_exception_handler empty": lambda loop: loop.call_exception_handler({"message": "empty"}),
}
STAGES = {
    "resting": side_by_side.on_a_resting_loop,
    "running": side_by_side.on_a_running_loop,
    "debug": side_by_side.on_a_running_loop_in_debug_mode,
    "closed": side_by_side.on_a_closed_loop,
    "other thread": side_by_side.from_another_thread_in_debug_mode,
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", MOMENTS)
def test_moments(name: str, stage: str) -> None:
    if (name, stage) == ("create_server", "closed"):
        pytest.skip("the standard library leaves a coroutine of its own that is never awaited")
    compare(STAGES[stage], MOMENTS[name])


KEYWORDS: dict[str, Call] = {
    "call_soon(callback=)": lambda loop: loop.call_soon(callback=int) and None,
    "call_soon_threadsafe(callback=)": lambda loop: (
        loop.call_soon_threadsafe(callback=int) and None
    ),
    "call_later(delay=, callback=)": lambda loop: loop.call_later(delay=0, callback=int) and None,
    "call_at(when=, callback=)": lambda loop: loop.call_at(when=0, callback=int) and None,
    "run_in_executor(executor=, func=)": lambda loop: loop.run_in_executor(executor=None, func=int),
    "run_until_complete(future=)": lambda loop: loop.run_until_complete(future=None),
    "set_debug(enabled=)": lambda loop: loop.set_debug(enabled=False),
    "set_exception_handler(handler=)": lambda loop: loop.set_exception_handler(handler=None),
    "add_reader(fd=, callback=)": lambda loop: loop.add_reader(fd=-1, callback=int),
    "remove_reader(fd=)": lambda loop: loop.remove_reader(fd=0),
    "remove_writer(fd=)": lambda loop: loop.remove_writer(fd=0),
    "getaddrinfo(host=, port=)": lambda loop: loop.getaddrinfo(host="127.0.0.1", port=80),
    "call_soon()": lambda loop: loop.call_soon(),
    "call_soon(unknown=)": lambda loop: loop.call_soon(int, unknown=1),
    "call_soon_threadsafe()": lambda loop: loop.call_soon_threadsafe(),
    "call_later()": lambda loop: loop.call_later(),
    "call_later(delay)": lambda loop: loop.call_later(1),
    "call_later(unknown=)": lambda loop: loop.call_later(1, int, unknown=1),
    "call_at()": lambda loop: loop.call_at(),
    "call_at(when)": lambda loop: loop.call_at(1),
    "time(1)": lambda loop: loop.time(1),
    "stop(1)": lambda loop: loop.stop(1),
    "close(1)": lambda loop: loop.close(1),
    "is_running(1)": lambda loop: loop.is_running(1),
    "run_forever(1)": lambda loop: loop.run_forever(1),
    "run_until_complete()": lambda loop: loop.run_until_complete(),
    "create_future(1)": lambda loop: loop.create_future(1),
    "create_task()": lambda loop: loop.create_task(),
    "add_reader()": lambda loop: loop.add_reader(),
    "add_reader(fd)": lambda loop: loop.add_reader(0),
    "remove_reader()": lambda loop: loop.remove_reader(),
    "add_writer(fd)": lambda loop: loop.add_writer(0),
    "remove_writer(1, 2)": lambda loop: loop.remove_writer(1, 2),
    "sock_recv()": lambda loop: loop.sock_recv(),
    "sock_sendall(1)": lambda loop: loop.sock_sendall(1),
}


is_coroutine_function = (inspect if sys.version_info >= (3, 12) else asyncio).iscoroutinefunction
CONNECTING = ("create_connection", "create_server", "create_unix_connection", "create_unix_server")


@pytest.mark.parametrize("name", CONNECTING)
def test_unknown_arguments_are_refused_by_the_call_itself(name: str) -> None:
    def call(loop: Any) -> None:
        assert is_coroutine_function(getattr(loop, name))
        getattr(loop, name)(asyncio.Protocol, unknown=1)  # nobody awaits it

    compare(side_by_side.on_a_running_loop, call)


@pytest.mark.parametrize("name", KEYWORDS)
def test_names_and_numbers_of_arguments(name: str) -> None:
    # Messages about a function's arguments name the function as Python or as Rust does.
    compare(side_by_side.on_a_running_loop, KEYWORDS[name], messages=False)
