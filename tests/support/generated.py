"""Calls made by chance: a method, and arguments that few methods can take."""

from __future__ import annotations

import array
import asyncio
import ctypes
import inspect
import math
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Maker = Callable[[], Any]
"""Makes one value; called anew for each loop, so that they share nothing."""


def closed_socket() -> socket.socket:
    """A socket that has no descriptor any more."""
    sock = socket.socket()
    sock.close()
    return sock


def forsaken_socket() -> socket.socket:
    """A non-blocking socket with some data to read and nobody at its other end."""
    sock, peer = socket.socketpair()
    sock.setblocking(False)
    peer.send(b"data")
    peer.close()
    return sock


def unbound_socket() -> socket.socket:
    """A non-blocking TCP socket that is not connected."""
    sock = socket.socket()
    sock.setblocking(False)
    return sock


def released_view() -> memoryview:
    """A buffer that is none any more."""
    view = memoryview(b"released")
    view.release()
    return view


def words() -> memoryview:
    """A buffer whose length is not its number of bytes."""
    return memoryview(array.array("i", [1, 2, 3]))


class Raises:
    """Raises wherever it is asked for something."""

    def fileno(self) -> int:
        raise LookupError("fileno")

    def __len__(self) -> int:
        raise LookupError("len")

    def __index__(self) -> int:
        raise LookupError("index")

    def __float__(self) -> float:
        raise LookupError("float")

    def __call__(self) -> None:
        raise LookupError("call")


# No bool: Python 3.13 began to warn, in polling, that it is no descriptor. No name that a name
# server would be asked for.
BUFFERS: tuple[Maker, ...] = (
    lambda: b"",
    lambda: b"bytes\0",
    lambda: bytearray(b"bytearray"),
    bytearray,
    lambda: memoryview(b"view"),
    lambda: memoryview(b"every second")[::2],
    words,
    lambda: memoryview(bytearray(b"writable")),
    released_view,
    lambda: array.array("d", [1.5]),
    lambda: (ctypes.c_char * 3)(),
)
PLAIN: tuple[Maker, ...] = (
    lambda: None,
    lambda: -1,
    lambda: 0,
    lambda: 10**6,
    lambda: 10**30,
    lambda: 1.5,
    lambda: math.nan,
    lambda: -math.inf,
    lambda: math.inf,
    lambda: "",
    lambda: "127.0.0.1",
    lambda: "text\0",
    lambda: "\udcff",
    tuple,
    lambda: ("127.0.0.1", -1),
    lambda: ("127.0.0.1", "port"),
    lambda: ("127.0.0.1", 1, 2, 3, 4),
    lambda: [b"a", None],
    lambda: [bytearray(b"a"), b"b"],
    lambda: {"a": 1},
    object,
    lambda: int,
    lambda: lambda: None,
    lambda: asyncio.Protocol,
    asyncio.Protocol,
    lambda: 1 + 2j,
    lambda: range(3),
    Raises,
    closed_socket,
)
SOCKETS: tuple[Maker, ...] = (forsaken_socket, unbound_socket)


def shown(make: Maker) -> str:
    """A value, for the reader of a failure."""
    value = make()
    if isinstance(value, socket.socket):
        value.close()
        return make.__name__
    return repr(value)


@dataclass
class GeneratedCall:
    """A method's name and what makes its arguments."""

    name: str
    positional: list[Maker]
    named: dict[str, Maker]

    def __call__(self, receiver: Any, made: list[Any]) -> Any:
        """Call ``receiver``'s method; what the arguments are is appended to ``made``."""
        positional = [make() for make in self.positional]
        named = {name: make() for name, make in self.named.items()}
        made += [*positional, *named.values()]
        return getattr(receiver, self.name)(*positional, **named)

    def __str__(self) -> str:
        arguments = [shown(make) for make in self.positional]
        arguments += [f"{name}={shown(make)}" for name, make in self.named.items()]
        return f"{self.name}({', '.join(arguments)})"


class Generator:
    """Makes calls by a seed: the same ones, in the same order, for the same seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def choose(self, among: Any) -> Any:
        """One of them."""
        return self.chance.choice(sorted(among) if isinstance(among, set | dict) else among)

    def value(self) -> Maker:
        """What makes a value of any kind."""
        kind = self.chance.choice([PLAIN, PLAIN, PLAIN, BUFFERS, SOCKETS])
        made: Maker = self.chance.choice(kind)
        return made

    def call(self, signatures: dict[str, inspect.Signature], wanted: dict[str, Maker]) -> Any:
        """A call of one of the methods, mostly with as many arguments as it takes.

        ``wanted`` has what makes parameters that must be right more often than not, by name.
        """
        name = self.choose(signatures)
        call = GeneratedCall(name, [], {})
        for parameter in signatures[name].parameters.values():
            make = self.value()
            if parameter.name in wanted and self.chance.random() < 0.9:
                make = wanted[parameter.name]
            if parameter.kind is parameter.VAR_POSITIONAL:
                more = self.chance.choice([0, 0, 1, 2])
                call.positional += [self.value() for _ in range(more)]
            elif parameter.kind is parameter.KEYWORD_ONLY:
                if self.chance.random() < 0.15:
                    call.named[parameter.name] = make
            elif parameter.kind is not parameter.VAR_KEYWORD:
                needed = parameter.default is parameter.empty
                if self.chance.random() >= (0.97 if needed else 0.5):
                    break
                call.positional.append(make)
        if self.chance.random() < 0.03:
            call.named["unknown"] = self.value()
        return call


def signatures_of(owner: type, *, without: Any = ()) -> dict[str, inspect.Signature]:
    """The public methods that a class or its bases define, without ``self``."""
    found = {}
    for name, method in inspect.getmembers(owner, inspect.isfunction):
        if not name.startswith("_") and name not in without:
            signature = inspect.signature(method)
            found[name] = signature.replace(parameters=list(signature.parameters.values())[1:])
    return found
