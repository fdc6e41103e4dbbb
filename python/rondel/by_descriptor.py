"""A loop's transports of sockets, as the weak dictionary that CPython's cold code expects."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rondel.loop import Loop

__all__ = ["TransportsByDescriptor"]


class TransportsByDescriptor(MutableMapping[int, Any]):
    """A view of what native code knows: ``{fd: transport}``, each as long as it lives.

    What is set is found instead of the loop's own transport, until that number has a new one.
    """

    __slots__ = ("_loop",)

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def get(self, fd: Any, default: Any = None) -> Any:
        """Return the transport that uses a descriptor, or has used it last, or else `default`."""
        transport = self._loop._transport_of(fd)
        return default if transport is None else transport

    def __getitem__(self, fd: int) -> Any:
        transport = self._loop._transport_of(fd)
        if transport is None:
            raise KeyError(fd)
        return transport

    def __setitem__(self, fd: int, transport: Any) -> None:
        self._loop._set_transport_of(fd, transport)

    def __delitem__(self, fd: int) -> None:
        if self._loop._transport_of(fd) is None:
            raise KeyError(fd)
        self._loop._set_transport_of(fd, None)

    def __iter__(self) -> Iterator[int]:
        return iter(self._loop._transports_by_descriptor())

    def __len__(self) -> int:
        return len(self._loop._transports_by_descriptor())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._loop._transports_by_descriptor()!r}>"
