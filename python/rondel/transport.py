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
        if self._sock is not None:
            _warn(f"unclosed transport {self!r}", ResourceWarning, source=self)
            self._abandon()


class DatagramTransport(_rondel.DatagramTransport):
    """A datagram socket and its protocol; see asyncio's "Transports and Protocols"."""

    def __del__(self, _warn: Callable[..., Any] = warnings.warn) -> None:
        if self._sock is not None:
            _warn(f"unclosed transport {self!r}", ResourceWarning, source=self)
            self._abandon()


class ReadPipeTransport(_rondel.ReadPipeTransport):
    """The reading end of a pipe and its protocol; see asyncio's "Transports and Protocols"."""

    def __del__(self, _warn: Callable[..., Any] = warnings.warn) -> None:
        if self._pipe is not None:
            _warn(f"unclosed transport {self!r}", ResourceWarning, source=self)
            self._abandon()


class WritePipeTransport(_rondel.WritePipeTransport):
    """The writing end of a pipe and its protocol; see asyncio's "Transports and Protocols"."""

    def __del__(self, _warn: Callable[..., Any] = warnings.warn) -> None:
        if self._pipe is not None:
            _warn(f"unclosed transport {self!r}", ResourceWarning, source=self)
            self._abandon()
