"""The native transports, and what becomes of one that is forgotten."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from rondel import _rondel


class StreamTransport(_rondel.StreamTransport):
    """A connected stream socket and its protocol; see asyncio's "Transports and Protocols".

    What the callbacks of a turn write is sent together when they have run, or at once if it is
    much, so a callback that writes and then blocks the loop keeps what it wrote.
    """

    def __del__(self, _warn: Callable[..., Any] = warnings.warn) -> None:
        _close_forgotten(self, _warn)


class DatagramTransport(_rondel.DatagramTransport):
    """A datagram socket and its protocol; see asyncio's "Transports and Protocols"."""

    def __del__(self, _warn: Callable[..., Any] = warnings.warn) -> None:
        _close_forgotten(self, _warn)


def _close_forgotten(
    transport: StreamTransport | DatagramTransport, warn: Callable[..., Any]
) -> None:
    if transport._sock is not None:
        warn(f"unclosed transport {transport!r}", ResourceWarning, source=transport)
        transport._abandon()
