"""The event loops that the tests run on.

Every behaviour test runs on the standard library's selector loop, which proves that the test
itself is right, and on Rondel, which must behave the same: with its native handles, and in debug
mode, where the handles are asyncio's own.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Callable
from typing import Any

Loop = asyncio.AbstractEventLoop
Context = dict[str, Any]
"""What a loop hands to its exception handler."""

STDLIB = "stdlib"
RONDEL = "rondel"
RONDEL_IN_DEBUG = "rondel-debug"


def rondel_is_built() -> bool:
    """Whether Rondel's native module can be imported by this interpreter."""
    return (
        importlib.util.find_spec("rondel") is not None
        and importlib.util.find_spec("rondel._rondel") is not None
    )


def stdlib_only() -> bool:
    """Whether the run was asked to do without Rondel, and Rondel is indeed not there."""
    return os.environ.get("RONDEL_TESTS_STDLIB_ONLY") == "1" and not rondel_is_built()


def kinds() -> list[str]:
    """The loops of this run, the reference first."""
    return [STDLIB] if stdlib_only() else [STDLIB, RONDEL]


def kinds_with_debug() -> list[str]:
    """As `kinds`, and Rondel in debug mode."""
    return [*kinds(), *([] if stdlib_only() else [RONDEL_IN_DEBUG])]


def new_loop(kind: str) -> Loop:
    """Make a loop of the given kind; it is not set as the current loop of any thread."""
    if kind == STDLIB:
        return asyncio.SelectorEventLoop()
    if kind in (RONDEL, RONDEL_IN_DEBUG):
        import rondel

        return rondel.new_event_loop()
    raise ValueError(f"no such loop: {kind!r}")


class LoopFactory:
    """Makes loops of one kind whose stray errors reach one list, and remembers them."""

    def __init__(self, kind: str, on_error: Callable[[Loop, Context], object]) -> None:
        self.kind = kind
        self.made: list[Loop] = []
        self._on_error = on_error

    def __call__(self) -> Loop:
        loop = new_loop(self.kind)
        if self.kind != STDLIB:
            # Whatever the interpreter's options say: development mode would leave native handles
            # without a test.
            loop.set_debug(self.kind == RONDEL_IN_DEBUG)
        loop.set_exception_handler(self._on_error)
        self.made.append(loop)
        return loop

    def left_open(self) -> list[Loop]:
        """The loops that were made and never closed; they are closed now."""
        still_open = [loop for loop in self.made if not loop.is_closed()]
        for loop in still_open:
            loop.close()
        return still_open
