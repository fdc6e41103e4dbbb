"""The event loop policy, for Pythons that still have policies."""

from __future__ import annotations

import asyncio
import warnings

from rondel.loop import Loop

__all__ = ["EventLoopPolicy", "install"]

with warnings.catch_warnings():
    # Deprecated from 3.14 on; who uses ours is told so by asyncio when it is set, not at import.
    warnings.simplefilter("ignore", DeprecationWarning)
    _DefaultPolicy = asyncio.DefaultEventLoopPolicy


class EventLoopPolicy(_DefaultPolicy):  # type: ignore[misc, valid-type, unused-ignore]
    """CPython's policy, whose loops are Rondel's. See asyncio's "Policies" section."""

    _loop_factory = Loop

    def new_event_loop(self) -> Loop:
        """Return a new event loop."""
        return Loop()


def install() -> None:
    """Make asyncio use Rondel from here on: `asyncio.run`, `asyncio.new_event_loop` and the rest.

    `rondel.run` and ``loop_factory=rondel.new_event_loop`` do without a global change, and without
    policies, which Python 3.14 deprecates and 3.16 removes.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        asyncio.set_event_loop_policy(EventLoopPolicy())
