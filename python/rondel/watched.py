"""The loop's watched descriptors, as the selector that CPython's cold code expects to find."""

from __future__ import annotations

import selectors
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rondel.loop import Loop


class WatchedDescriptors(selectors.BaseSelector):
    """A read-only view: descriptors are watched through the loop, and nobody selects here.

    CPython's transports ask it what they are polled for, and closing it closes the loop's core.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop: Loop | None = loop

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Return the watched descriptors: ``{fd: SelectorKey}``."""
        if self._loop is None:
            return {}
        return {fd: _key(fd, fd, reader, writer) for fd, reader, writer in self._loop._watched()}

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """Return what a descriptor, or an object that has one, is watched for.

        Raises KeyError if it is not watched.
        """
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        reader, writer = (None, None) if self._loop is None else self._loop._waiters(fd)
        if reader is None and writer is None:
            raise KeyError(f"{fileobj!r} is not registered")
        return _key(fileobj, fd, reader, writer)

    def close(self) -> None:
        """Close the loop's core; the loop closes its selector last."""
        if self._loop is not None:
            self._loop._close_native()
            self._loop = None

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Not here: `loop.add_reader` and `loop.add_writer` watch descriptors."""
        raise NotImplementedError("use loop.add_reader() and loop.add_writer()")

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Not here: `loop.remove_reader` and `loop.remove_writer` do."""
        raise NotImplementedError("use loop.remove_reader() and loop.remove_writer()")

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Not here: the loop parks in its native driver."""
        raise NotImplementedError("the loop parks in its own driver")


def _key(fileobj: Any, fd: int, reader: Any, writer: Any) -> selectors.SelectorKey:
    events = (selectors.EVENT_READ if reader is not None else 0) | (
        selectors.EVENT_WRITE if writer is not None else 0
    )
    return selectors.SelectorKey(fileobj, fd, events, (reader, writer))
