"""What is known to go wrong when it is cancelled: flaws of asyncio that show on its own loop.

On the standard loop such an operation is only run to its end; on Rondel it must not show the flaw,
unless it is not the loop's.
"""

from __future__ import annotations

from support.loops import STDLIB

_TAKEN = "what was taken from the socket in the turn before is lost"
_SENDING = "cancelled while earlier writes are sent, it leaves a transport that takes no others"
_SERVING = "cancelled in its last turn, it leaves a server that serves and belongs to nobody"

FLAWS_OF_THE_STANDARD_LOOP = {
    "sock recv": _TAKEN,
    "sock recv into": _TAKEN,
    "sock recvfrom": _TAKEN,
    "sock recvfrom into": _TAKEN,
    "sock accept": _TAKEN,
    "create server": _SERVING,
    "create server on several hosts": _SERVING,
    "create server on a socket": _SERVING,
    "create unix server": _SERVING,
    "start server": _SERVING,
    "start unix server": _SERVING,
    "create connection with happy eyeballs": "a connection that has won the race is forgotten",
    "sendfile": _SENDING,
    "sendfile without the kernel": _SENDING,
}
FLAWS_OF_STREAMS = {
    "read all": "StreamReader.read() keeps in a variable of its own what it has read so far",
}
"""These are in classes that every loop shares."""


def flaw(kind: str, name: str) -> str | None:
    """Why the operation is not to be cancelled on this kind of loop, if there is a reason."""
    own = FLAWS_OF_THE_STANDARD_LOOP if kind == STDLIB else {}
    return own.get(name) or FLAWS_OF_STREAMS.get(name)
