"""What a workload is: its name, what it gives, and how it is measured.

Plain data, which both the benchmark and the processes it measures read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Unit = Literal["s", "bytes", "/s"]
"""Seconds and bytes, of which less is better, or how many in a second, of which more is."""


class Metric(NamedTuple):
    """One number that a measurement gives. ``title`` is empty where it needs no name."""

    key: str
    title: str
    unit: Unit


TIME = Metric("time", "", "s")
"""Seconds for one operation."""


class Wrong(Exception):
    """The work was not done as it should be: such a measurement counts for nothing."""


def check(fulfilled: bool, complaint: str) -> None:
    """Raise :exc:`Wrong` with the complaint unless the condition is fulfilled."""
    if not fulfilled:
        raise Wrong(complaint)


Body = Callable[..., Awaitable[float]]
"""Does its work, ``count`` times, on the running loop; returns the seconds that it took.

It checks what came out, and raises :exc:`Wrong` if that is not what asyncio gives. What one thread
does without ever waiting is timed by the CPU's clock, so that nothing else on the machine counts.
"""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What all kinds of workload have.

    ``name`` is how options and files call it; ``group`` is the picture and the table it is in.
    """

    name: str
    group: str
    title: str
    metrics: tuple[Metric, ...] = (TIME,)


@dataclass(frozen=True, kw_only=True)
class InProcess(Workload):
    """Work inside one process: ``body(count, **arguments)``, timed by itself.

    ``threads`` says that it uses two threads, which may share a core or not.
    """

    body: Body
    count: int
    arguments: Mapping[str, int] = field(default_factory=dict, hash=False)
    threads: bool = False
