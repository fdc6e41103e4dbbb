"""Pickling without copies: what is large is handed on as it is, to be copied once."""

from __future__ import annotations

import copyreg
import pickle
import sys
from collections.abc import Sequence
from typing import Any

Bytes = bytes | bytearray | memoryview

PROTOCOL = 5
LARGE = 1 << 16
"""Bytes from which on a buffer is worth a place of its own in the arena."""


class Pickled:
    """A pickle: the pieces of its stream in order, and the buffers that it refers to."""

    __slots__ = ("buffers", "stream")

    def __init__(self, stream: list[Bytes], buffers: list[memoryview]) -> None:
        self.stream = stream
        self.buffers = buffers


class _Pickler:
    # The C pickler calls `write` with what it has gathered so far, and with each large object that
    # is bytes or text as it is, without a copy.
    __slots__ = ("buffers", "pickler", "stream", "write")

    def __init__(self) -> None:
        self.stream: list[Bytes] = []
        self.buffers: list[memoryview] = []
        self.write = self.stream.append
        self.pickler = pickle.Pickler(self, PROTOCOL, buffer_callback=self._is_small)

    def _is_small(self, buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < LARGE:
            return True
        self.buffers.append(raw)
        return False


# A pickler is for one value at a time, and a value's own methods may pickle others meanwhile.
_idle: list[_Pickler] = []


def dump(value: object) -> bytes | Pickled:
    """Pickle as multiprocessing does, reductions registered there included.

    Return bytes if the whole is small. Raises what `pickle.dumps` raises.
    """
    try:
        pickler = _idle.pop()
    except IndexError:
        pickler = _Pickler()
    pickler.pickler.dispatch_table = _reductions()
    pickler.pickler.dump(value)
    pickler.pickler.clear_memo()
    stream = pickler.stream[:]
    buffers = pickler.buffers[:]
    pickler.stream.clear()
    pickler.buffers.clear()
    _idle.append(pickler)
    if not buffers:
        if len(stream) == 1 and len(stream[0]) < LARGE:
            return bytes(stream[0])
        if sum(map(len, stream)) < LARGE:
            return b"".join(stream)
    return Pickled(stream, buffers)


_tables: tuple[int, int, dict[Any, Any]] = (-1, -1, {})


def _reductions() -> dict[Any, Any]:
    """Return copyreg's table, with what multiprocessing knows to pickle on top."""
    global _tables  # noqa: PLW0603 - a cache
    reduction: Any = sys.modules.get("multiprocessing.reduction")
    extra = reduction.ForkingPickler._extra_reducers if reduction is not None else {}
    standard = copyreg.dispatch_table
    if _tables[0] != len(standard) or _tables[1] != len(extra):
        _tables = (len(standard), len(extra), {**standard, **extra})
    return _tables[2]


def load(stream: Bytes, buffers: Sequence[Bytes] = ()) -> Any:
    """Unpickle. Raises what `pickle.loads` raises."""
    return pickle.loads(stream, buffers=buffers)
