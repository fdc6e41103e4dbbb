"""Making loops, running programs on them, and saying what they run on."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Coroutine
from typing import Any, TypedDict, TypeVar

from rondel._rondel import LoopCore, kernel_features
from rondel.loop import Loop

T = TypeVar("T")


class DriverReport(TypedDict):
    """What a loop runs on, as `driver_report` finds it."""

    driver: str
    kernel: str
    features: dict[str, bool]
    fallbacks: dict[str, str]


def new_event_loop(*, spin: bool | float | None = None) -> Loop:
    """Return a new event loop: the ``loop_factory`` for whoever takes one.

    `spin` is for how many seconds it looks before it sleeps; see `Loop`. Raises ValueError if that
    is no such number, OSError if the system is out of descriptors or memory.
    """
    return Loop(spin=spin)


def run(
    main: Coroutine[Any, Any, T], *, debug: bool | None = None, spin: bool | float | None = None
) -> T:
    """Run a coroutine on a new Rondel loop and return its result, as `asyncio.run` does.

    Raises ValueError if `main` is not a coroutine, RuntimeError if a loop is running in this thread
    already, and whatever `main` raises. ``debug=None`` leaves the mode to the environment; `spin`
    is that of `new_event_loop`.
    """
    if asyncio._get_running_loop() is not None:
        # asyncio.run's own words.
        raise RuntimeError("asyncio.run() cannot be called from a running event loop")
    loop_factory = functools.partial(new_event_loop, spin=spin)
    with asyncio.Runner(debug=debug, loop_factory=loop_factory) as runner:
        return runner.run(main)


def driver_report() -> DriverReport:
    """Probe the kernel: the driver that loops use, what it can build on, and what is missing.

    ``features`` says of each whether it is there, ``fallbacks`` why one is not.
    """
    missing, system = kernel_features(), os.uname()
    return {
        "driver": LoopCore.driver,
        "kernel": f"{system.sysname} {system.release}",
        "features": {name: reason is None for name, reason in missing.items()},
        "fallbacks": {name: reason for name, reason in missing.items() if reason is not None},
    }
