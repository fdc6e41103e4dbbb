"""What goes over the socket between a pool and a worker: frames.

A frame is a header (number of the call, length of the body, kind) and a body of bytes. Bodies that
are large travel in an arena instead; see `arena`.
"""

from __future__ import annotations

from struct import Struct

HEADER = Struct("<QIB")

# To the worker
CALL = 1  # (function, arguments, keyword arguments)
CHUNK = 2  # (function, list of arguments): calls of `map` that travel together
# From the worker
READY = 3  # the initializer has run; no body
RESULT = 4  # what the function returned
ERROR = 5  # (text of the traceback, pickle of the exception)
UNFIT = 6  # as ERROR: what kept the worker from getting ready

IN_ARENA = 0x80
"""Added to a kind whose body is the place of the real body in the sender's arena."""

READ_SIZE = 1 << 16


def frame(number: int, kind: int, body: bytes) -> bytes:
    """Return a frame, ready to be written. The body is shorter than 4 GiB."""
    return HEADER.pack(number, len(body), kind) + body


class Frames:
    """Cuts what is read from a socket into frames."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """Take what was read; return the number, kind and body of each frame that is complete."""
        if self._rest:
            data = self._rest + data
        frames = []
        at = 0
        size = len(data)
        while size - at >= HEADER.size:
            number, length, kind = HEADER.unpack_from(data, at)
            end = at + HEADER.size + length
            if end > size:
                break
            frames.append((number, kind, data[at + HEADER.size : end]))
            at = end
        self._rest = data[at:] if at else data
        return frames
