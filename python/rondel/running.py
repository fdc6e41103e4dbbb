"""Making loops and running programs on them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Coroutine
from typing import Any, TypeVar

from rondel.loop import Loop

T = TypeVar("T")


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
