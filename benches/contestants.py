"""Who takes part: any loop that a ``module:factory`` makes."""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase
from typing import NamedTuple


class Contestant(NamedTuple):
    """A loop: ``factory``, as ``module:function``, makes it in a process of ``interpreter``.

    A limit is a program in Rust instead: ``server`` is its command line, and there is no factory.
    Where ``only`` is not empty, workloads whose names match none of it are for others.
    """

    name: str
    factory: str = ""
    interpreter: str = sys.executable
    server: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    def does(self, workload: str) -> bool:
        """Whether this contestant takes part in the workload of that name."""
        return not self.only or any(fnmatchcase(workload, pattern) for pattern in self.only)


_ECHO = ("echo-*", "unix", "churn", "latency")

STDLIB = Contestant("stdlib", "asyncio:SelectorEventLoop")
UVLOOP = Contestant("uvloop", "uvloop:new_event_loop")
RONDEL = Contestant("rondel", "rondel:new_event_loop")
SPINNING = Contestant(
    "rondel-spin",
    "benches.spinning:new_event_loop",
    only=("echo-1kib-1", "threadsafe-*", "latency", "to-thread", "own-thread-pool"),
)
EPOLL = Contestant("epoll", server=("rondel-load", "serve-echo"), only=_ECHO)
TOKIO = Contestant("tokio", server=("examples/tokio_echo",), only=_ECHO)

CONTESTANTS = (
    STDLIB,
    UVLOOP,
    Contestant("rloop", "rloop:new_event_loop"),
    Contestant("blazio", "blazio:new_event_loop"),
    Contestant("zuvloop", "zuvloop:new_event_loop"),
    Contestant("rsloop", "rsloop:new_event_loop"),
    RONDEL,
    SPINNING,
    EPOLL,
    TOKIO,
)
"""Those that take part unless others are named; the last two are limits, no loops of Python's."""

FOR_GOALS = tuple(
    contestant
    if contestant in (STDLIB, UVLOOP, RONDEL, SPINNING, EPOLL)
    else contestant._replace(only=("echo-128kib-*",))
    for contestant in CONTESTANTS
    if contestant.factory or contestant == EPOLL
)
"""Those with whom goals compare, each where one does."""

BASELINES = (STDLIB.name, UVLOOP.name)
"""Whom the others are compared with."""


def parse(text: str) -> Contestant:
    """Return the contestant that an option names.

    ``uvloop`` names one of :data:`CONTESTANTS`, ``new=module:factory`` any loop, and
    ``old=module:factory@/path/to/python`` one that another interpreter has installed. Raises
    ValueError for anything else.
    """
    for contestant in CONTESTANTS:
        if text == contestant.name:
            return contestant
    name, _, rest = text.partition("=")
    factory, _, interpreter = rest.partition("@")
    if name and factory.count(":") == 1:
        return Contestant(name, factory, interpreter or sys.executable)
    known = ", ".join(contestant.name for contestant in CONTESTANTS)
    raise ValueError(f"{text!r} is none of {known}, nor NAME=MODULE:FACTORY[@PYTHON]")
