"""Shared memory in which large values travel, one arena for each direction of each worker.

An arena is a memfd that pool and worker both have mapped: it has no name, and is gone with the last
of them. Its first page holds words, the values come after. The sender puts a value behind those
that the receiver has not taken yet, or at the start if there are none, which memory that both have
mapped already makes cheap. The receiver writes down the number of what it took last.
"""

from __future__ import annotations

import mmap
import os
from struct import Struct
from typing import Any

from .pickling import Pickled, load

PAGE = mmap.PAGESIZE
KEPT = 16 << 20
"""Bytes of memory that an arena keeps for the values to come."""

TAKEN = 0
STARTED = 1
"""Indices of words: the last value taken, and in a worker's own, the last call it has begun."""

_WORD = Struct("<Q")


def create() -> int:
    """Return the descriptor of a new arena. Raises OSError if the system is out of them."""
    fd = os.memfd_create("rondel-arena", os.MFD_CLOEXEC)
    try:
        os.ftruncate(fd, PAGE)
    except BaseException:
        os.close(fd)
        raise
    return fd


class Arena:
    """What both sides have of an arena; owns the descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._page = mmap.mmap(fd, PAGE)
        self.words = memoryview(self._page).cast("Q")
        self._values: mmap.mmap | None = None
        self._size = 0

    def close(self) -> None:
        """Let go of the memory and the descriptor."""
        self.words.release()
        self._page.close()
        if self._values is not None:
            self._values.close()
        os.close(self._fd)

    def _map(self, size: int) -> mmap.mmap:
        if self._values is None or size > self._size:
            if self._values is not None:
                self._values.close()
            self._size = os.fstat(self._fd).st_size - PAGE
            self._values = mmap.mmap(self._fd, self._size, offset=PAGE)
        return self._values


class Outbox(Arena):
    """The sender's side."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._last = 0
        self._end = 0
        self._capacity = 0

    @property
    def is_empty(self) -> bool:
        """Whether the receiver has taken all there was."""
        return self.words[TAKEN] == self._last

    def put(self, number: int, value: Pickled) -> bytes:
        """Copy a value in, as number `number`, above all before; return its place.

        Raises OSError or MemoryError if there is not enough memory.
        """
        start = 0 if self.is_empty else self._end
        lengths = [sum(memoryview(piece).nbytes for piece in value.stream)]
        lengths += [buffer.nbytes for buffer in value.buffers]
        end = start + sum(lengths)
        if end > self._capacity:
            capacity = max(1 << 20, 1 << (end - 1).bit_length())
            os.ftruncate(self._fd, PAGE + capacity)
            self._capacity = capacity
        memory = self._map(end)
        at = start
        for piece in (*value.stream, *value.buffers):
            size = memoryview(piece).nbytes
            memory[at : at + size] = piece
            at += size
        self._last = number
        self._end = -(-end // PAGE) * PAGE
        return b"".join(_WORD.pack(word) for word in (start, *lengths))


class Inbox(Arena):
    """The receiver's side."""

    def take(self, number: int, place: bytes) -> Any:
        """Unpickle the value that was put at `place`, which is free after that.

        Raises what `pickle.loads` raises.
        """
        start, length, *lengths = (word for (word,) in _WORD.iter_unpack(place))
        end = start + length + sum(lengths)
        memory = self._map(end)
        try:
            with memoryview(memory) as view:
                buffers = []
                at = start + length
                for size in lengths:
                    # What the value keeps must be its own: the arena is used again.
                    buffers.append(bytearray(view[at : at + size]))
                    at += size
                with view[start : start + length] as stream:
                    return load(stream, buffers)
        finally:
            if end > KEPT:
                first = -(-max(start, KEPT) // PAGE) * PAGE
                if first < end:
                    memory.madvise(mmap.MADV_REMOVE, first, end - first)
            self.words[TAKEN] = number
