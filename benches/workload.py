"""What a workload is: its name, what it gives, and how it is measured.

Plain data, which both the benchmark and the processes it measures read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Unit = Literal["s", "bytes", "/s", "x"]
"""Seconds and bytes, of which less is better, or how many in a second, or how many times as fast as
what the workload compares itself with, of which more is."""

MORE_IS_BETTER = ("/s", "x")


GROUPS = {
    "scheduling": "Scheduling: time of one operation",
    "executors": "Executors: time of one call",
    "sockets": "Sockets: messages in a second",
    "sockets-cpu": "Sockets: CPU time of the server for one message",
    "latency": "Latency: from when a message is due until it is back",
    "http": "HTTP: requests in a second; time of one download",
    "http-cpu": "HTTP: CPU time of the server for one request",
    "cost": "Cost: CPU time, memory",
}
"""The groups of numbers, each a table and a picture, in order."""


class Metric(NamedTuple):
    """One number that a measurement gives. ``title`` is empty where it needs no name.

    ``group`` is added to the name of the workload's.
    """

    key: str
    title: str
    unit: Unit
    group: str = ""


TIME = Metric("time", "", "s")
"""Seconds for one operation."""

MEMORY = Metric("memory", "", "bytes")

GAIN = Metric("gain", "", "x")
"""How many times as fast as without."""

RATE = Metric("rate", "", "/s")
"""Replies in a second."""

SERVER_CPU = Metric("cpu", "", "s", "-cpu")
"""CPU time of the server for one reply: what else the machine does hardly changes it."""

LATENCY = tuple(Metric(percentile, percentile, "s") for percentile in ("p50", "p99", "p99.9"))


class Wrong(Exception):
    """The work was not done as it should be: such a measurement counts for nothing."""


def check(fulfilled: bool, complaint: str) -> None:
    """Raise :exc:`Wrong` with the complaint unless the condition is fulfilled."""
    if not fulfilled:
        raise Wrong(complaint)


def name_of(function: Callable[..., Any]) -> str:
    """Return the ``module:function`` by which another process finds a function."""
    return f"{function.__module__}:{function.__qualname__}"


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What all kinds of workload have.

    ``name`` is how options and files call it; ``group`` is one of :data:`GROUPS`.
    """

    name: str
    group: str
    title: str
    metrics: tuple[Metric, ...]

    samples: int = 1
    """How many a round takes of each contestant, in turns: more where one differs much from the
    next, or costs little."""


@dataclass(frozen=True, kw_only=True)
class InProcess(Workload):
    """Work inside one process: ``body(count, **arguments)`` returns what all of it took.

    A body is a coroutine function, or, where it makes its own loops, a function that is given the
    contestant's ``factory`` too. It checks what came out, and raises :exc:`Wrong` if that is not
    what asyncio gives. What one thread does without ever waiting is timed by the CPU's clock, so
    that nothing else on the machine counts.
    """

    body: Callable[..., Any]
    count: int
    arguments: Mapping[str, int] = field(default_factory=dict, hash=False)
    metrics: tuple[Metric, ...] = (TIME,)

    threads: bool = False
    """Whether it uses two threads, or processes, which may share a core or not."""

    once: bool = False
    """Whether a process can only be measured before it has done anything."""

    server: tuple[str, ...] = ()
    """The server that it talks to, as arguments of the load generator; the body gets ``port``."""


@dataclass(frozen=True, kw_only=True)
class Served(Workload):
    """A server in Python on a contestant's loop, under load from a compiled client.

    ``server(**arguments)`` returns the address; ``load`` are arguments of the load generator, which
    checks every byte that comes back.
    """

    server: Callable[..., Any]
    load: tuple[str, ...]
    metrics: tuple[Metric, ...] = (RATE, SERVER_CPU)

    needs: Literal["certificate", "path"] | None = None
    """What the server is given: a file with its certificate, or where to make its socket."""


@dataclass(frozen=True, kw_only=True)
class Idle(Workload):
    """The memory of a server in Python, all of it, while so many connections do nothing."""

    server: Callable[..., Any]
    connections: int
    metrics: tuple[Metric, ...] = (MEMORY,)


@dataclass(frozen=True, kw_only=True)
class Startup(Workload):
    """The CPU time of a whole process that runs one coroutine which returns at once."""

    processes: int
    metrics: tuple[Metric, ...] = (TIME,)
    samples: int = 3
