"""Who takes part: any loop that a ``module:factory`` makes."""

from __future__ import annotations

import sys
from typing import NamedTuple


class Contestant(NamedTuple):
    """A loop: ``factory``, as ``module:function``, makes it in a process of ``interpreter``.

    A limit is a program in Rust instead: ``server`` is its command line, and there is no factory.
    """

    name: str
    factory: str = ""
    interpreter: str = sys.executable
    server: tuple[str, ...] = ()


STDLIB = Contestant("stdlib", "asyncio:SelectorEventLoop")
UVLOOP = Contestant("uvloop", "uvloop:new_event_loop")
RONDEL = Contestant("rondel", "rondel:new_event_loop")
EPOLL = Contestant("epoll", server=("rondel-load", "serve-echo"))
TOKIO = Contestant("tokio", server=("examples/tokio_echo",))

CONTESTANTS = (
    STDLIB,
    UVLOOP,
    Contestant("rloop", "rloop:new_event_loop"),
    Contestant("blazio", "blazio:new_event_loop"),
    Contestant("zuvloop", "zuvloop:new_event_loop"),
    Contestant("rsloop", "rsloop:new_event_loop"),
    RONDEL,
    EPOLL,
    TOKIO,
)
"""Those that take part unless others are named; the last two are limits, no loops of Python's."""

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
