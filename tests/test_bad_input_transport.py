"""Wrong arguments and wrong moments: a TCP transport's methods fail as the standard ones do."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Callable
from typing import Any

import pytest
from support.protocols import BufferedRecorder, Recorder
from support.side_by_side import compare, on_a_transport

Call = Callable[[Any], Any]

pytestmark = pytest.mark.usefixtures("only_sockets_left_to_the_collector")

VALUES: dict[str, Any] = {
    "none": None,
    "zero": 0,
    "minus one": -1,
    "number": 1000,
    "float": 1.5,
    "nan": math.nan,
    "huge": 10**30,
    "true": True,
    "text": "text",
    "bytes": b"bytes",
    "bytearray": bytearray(b"bytearray"),
    "memoryview": memoryview(b"memoryview"),
    "strided memoryview": memoryview(b"0123456789")[::2],
    "wide memoryview": memoryview(bytes(16)).cast("I"),
    "empty": b"",
    "list of bytes": [b"a", b"b"],
    "tuple of bytes": (b"a", b"b"),
    "list of text": ["a"],
    "list of numbers": [1, 2],
    "mixed list": [b"a", "b"],
    "list of none": [None],
    "dict": {b"a": 1},
    "object": object(),
    "class": int,
}
DIFFERENT = {
    "write-strided memoryview": "the standard transport takes it, and then loses the connection",
    "writelines-strided memoryview": "the standard transport takes it, and then fails",
    "writelines-closing with data": "from 3.12 on the standard transport fails by accident",
    "writelines-closed": "from 3.12 on the standard transport fails by accident",
    "writelines-aborted": "from 3.12 on the standard transport fails by accident",
}
"""Cases in which Rondel does better than the standard library, each with what that does."""
if sys.version_info < (3, 12):
    for label in ("none", "zero"):
        DIFFERENT[f"writelines-{label}"] = "what is false is nothing to write from 3.12 on"


CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "write": lambda transport, value: transport.write(value),
    "writelines": lambda transport, value: transport.writelines(value),
    "set_write_buffer_limits(high)": lambda transport, value: (
        transport.set_write_buffer_limits(value) or transport.get_write_buffer_limits()
    ),
    "set_write_buffer_limits(low)": lambda transport, value: (
        transport.set_write_buffer_limits(low=value) or transport.get_write_buffer_limits()
    ),
    "set_write_buffer_limits(10, low)": lambda transport, value: (
        transport.set_write_buffer_limits(10, value) or transport.get_write_buffer_limits()
    ),
    "get_extra_info": lambda transport, value: transport.get_extra_info(value),
    "get_extra_info(default)": lambda transport, value: (
        transport.get_extra_info("no such", value) is value
    ),
}


def cases() -> list[Any]:
    """Each call with each value, in an order in which nothing else is written."""
    return [
        pytest.param(
            lambda transport, call=call, value=value: call(transport, value), id=f"{name}-{label}"
        )
        for name, call in CALLS.items()
        for label, value in VALUES.items()
        if f"{name}-{label}" not in DIFFERENT
    ]


@pytest.mark.parametrize("call", cases())
def test_arguments(call: Call, request: pytest.FixtureRequest) -> None:
    # What is no number fails somewhere within the limits' arithmetic, in its words; and before
    # 3.12 writelines joined its pieces first, and failed in the words of join.
    words_differ = ["set_write_buffer_limits"]
    if sys.version_info < (3, 12):
        words_differ.append("writelines")
    case = request.node.callspec.id
    compare(on_a_transport, call, messages=not case.startswith(tuple(words_differ)))


def shut(transport: Any) -> None:
    transport.close()


def buffer_and_close(transport: Any) -> None:
    transport.write(bytes(10_000_000))
    transport.close()


STATES: dict[str, Callable[[Any], None]] = {
    "open": lambda transport: None,
    "paused": lambda transport: transport.pause_reading(),
    "after write_eof": lambda transport: transport.write_eof(),
    "buffering": lambda transport: transport.write(bytes(10_000_000)),
    "closing with data": buffer_and_close,
    "closed": shut,
    "aborted": lambda transport: transport.abort(),
}
METHODS: dict[str, Call] = {
    "write": lambda transport: transport.write(b"x"),
    "write nothing": lambda transport: transport.write(b""),
    "write text": lambda transport: transport.write("x"),
    "writelines": lambda transport: transport.writelines([b"x", b"y"]),
    "writelines nothing": lambda transport: transport.writelines([]),
    "write_eof": lambda transport: transport.write_eof(),
    "can_write_eof": lambda transport: transport.can_write_eof(),
    "close": lambda transport: transport.close(),
    "is_closing": lambda transport: transport.is_closing(),
    "is_reading": lambda transport: transport.is_reading(),
    "pause_reading": lambda transport: transport.pause_reading(),
    "resume_reading": lambda transport: transport.resume_reading(),
    "pause twice": lambda transport: transport.pause_reading() or transport.pause_reading(),
    "buffer is empty": lambda transport: transport.get_write_buffer_size() == 0,
    "limits": lambda transport: transport.get_write_buffer_limits(),
    "set limits": lambda transport: transport.set_write_buffer_limits(100, 10),
    "set wrong limits": lambda transport: transport.set_write_buffer_limits(10, 100),
    "protocol": lambda transport: transport.get_protocol() and None,
    "set protocol": lambda transport: transport.set_protocol(Recorder()),
    "set buffered protocol": lambda transport: transport.set_protocol(BufferedRecorder()),
    "socket": lambda transport: type(transport.get_extra_info("socket")).__name__,
    "sockname": lambda transport: transport.get_extra_info("sockname"),
    "peername": lambda transport: transport.get_extra_info("peername"),
    "unknown info": lambda transport: transport.get_extra_info("no such", "default"),
    "repr": lambda transport: bool(repr(transport)),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("method", METHODS)
def test_methods_in_each_state(method: str, state: str) -> None:
    if f"{method}-{state}" in DIFFERENT:
        pytest.skip(DIFFERENT[f"{method}-{state}"])
    compare(
        lambda kind, call: on_a_transport(kind, call, STATES[state]),
        METHODS[method],
        messages=sys.version_info >= (3, 12) or not method.startswith("writelines"),
    )


ARITY: dict[str, Call] = {
    "write()": lambda transport: transport.write(),
    "write(1, 2)": lambda transport: transport.write(b"", b""),
    "write(data=)": lambda transport: transport.write(data=b"x"),
    "write(unknown=)": lambda transport: transport.write(unknown=b"x"),
    "writelines()": lambda transport: transport.writelines(),
    "close(1)": lambda transport: transport.close(1),
    "abort(1)": lambda transport: transport.abort(1),
    "write_eof(1)": lambda transport: transport.write_eof(1),
    "pause_reading(1)": lambda transport: transport.pause_reading(1),
    "is_closing(1)": lambda transport: transport.is_closing(1),
    "get_extra_info()": lambda transport: transport.get_extra_info(),
    "get_extra_info(name=, default=)": lambda transport: transport.get_extra_info(
        name="no such", default=5
    ),
    "set_write_buffer_limits(high=, low=)": lambda transport: transport.set_write_buffer_limits(
        high=10, low=1
    ),
    "set_write_buffer_limits(1, 2, 3)": lambda transport: transport.set_write_buffer_limits(
        3, 2, 1
    ),
    "set_protocol()": lambda transport: transport.set_protocol(),
    "set_protocol(protocol=)": lambda transport: transport.set_protocol(protocol=Recorder()),
    "no such method": lambda transport: transport.no_such_method(),
}


@pytest.mark.parametrize("name", ARITY)
def test_names_and_numbers_of_arguments(name: str) -> None:
    # Messages about a function's arguments name the function as Python or as Rust does.
    compare(on_a_transport, ARITY[name], messages=False)


class Raises(Recorder):
    """Raises in one of its methods."""

    def __init__(self, method: str, error: BaseException) -> None:
        super().__init__()
        self.raising = (method, error)

    def record(self, *event: Any) -> None:
        super().record(*event)
        method, error = self.raising
        if event[0] == method:
            raise error


@pytest.mark.parametrize("error", [LookupError, OSError, asyncio.CancelledError, BaseException])
@pytest.mark.parametrize("method", ["pause"])
def test_errors_of_a_protocols_flow_control(method: str, error: type[BaseException]) -> None:
    def act(transport: Any) -> None:
        transport.set_protocol(Raises(method, error("raised")))
        transport.write(bytes(10_000_000))

    compare(on_a_transport, act)
