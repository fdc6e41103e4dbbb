"""The pool's side of a worker: its process, and the connection with it."""

from __future__ import annotations

import os
import socket
from collections import deque
from multiprocessing import process as processes
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from rondel.executors.processes.child import Ends, arena, framing, pickling

if TYPE_CHECKING:
    from rondel.executors.processes.calls import Call

__all__ = ["Worker", "connection"]


def connection() -> tuple[Worker, Ends]:
    """Return both sides of a new connection. Raises OSError if the system is out of descriptors."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        requests = arena.create()
        try:
            responses = arena.create()
            try:
                worker = Worker(ours, arena.Outbox(requests), arena.Inbox(responses))
            except BaseException:
                os.close(responses)
                raise
        except BaseException:
            os.close(requests)
            raise
        try:
            return worker, Ends(theirs.detach(), os.dup(requests), os.dup(responses))
        except BaseException:
            worker.close()
            raise


class Worker:
    """A worker process. Whoever reads, writes or closes the descriptors holds the pool's lock."""

    __slots__ = (
        "_frames",
        "_requests",
        "_responses",
        "_unsent",
        "calls",
        "fd",
        "is_closing",
        "is_open",
        "is_ready",
        "pid",
        "process",
        "sentinel",
        "served",
        "unfit",
    )

    def __init__(self, ours: socket.socket, requests: arena.Outbox, responses: arena.Inbox) -> None:
        ours.setblocking(False)
        self.fd = ours.detach()
        self._requests = requests
        self._responses = responses
        self._frames = framing.Frames()
        self._unsent = b""
        self.process: BaseProcess | None = None
        self.pid = -1
        self.sentinel = -1
        self.calls: deque[tuple[int, Call]] = deque()
        """What the worker has to do, with the numbers that it knows the calls by; 0 is not sent."""
        self.is_open = True
        self.is_ready = False
        self.is_closing = False
        self.served = 0
        self.unfit: BaseException | None = None

    def started(self, process: BaseProcess) -> None:
        """Take over the process at the other end."""
        self.process = process
        self.pid = process.pid or -1
        self.sentinel = process.sentinel

    def send(self, number: int, kind: int, body: bytes | pickling.Pickled) -> bool:
        """Send a frame, or as much of it as goes; False if `flush` has to send the rest.

        Raises MemoryError or OSError if the value does not fit into memory.
        """
        if isinstance(body, pickling.Pickled):
            body = self._requests.put(number, body)
            kind |= framing.IN_ARENA
        self._unsent += framing.frame(number, kind, body)
        return self.flush()

    def flush(self) -> bool:
        """Send what is left; False if some still is."""
        while self._unsent:
            try:
                sent = os.write(self.fd, self._unsent)
            except BlockingIOError:
                return False
            except (BrokenPipeError, ConnectionResetError):
                self._unsent = b""  # its end is told by the sentinel
                break
            self._unsent = self._unsent[sent:]
        return True

    def read(self) -> tuple[list[tuple[int, int, bytes]], bool]:
        """Return the frames that have arrived, and whether more can come."""
        try:
            data = os.read(self.fd, framing.READ_SIZE)
        except BlockingIOError:
            return [], True
        except ConnectionResetError:
            return [], False
        return self._frames.feed(data), bool(data)

    def take(self, number: int, kind: int, body: bytes) -> Any:
        """Unpickle a frame's body. Raises what `pickle.loads` raises."""
        if kind & framing.IN_ARENA:
            return self._responses.take(number, body)
        return pickling.load(body)

    def begun(self) -> int:
        """Return the number of the last call that the worker has begun."""
        return self._requests.words[arena.STARTED]

    def end_requests(self) -> None:
        """Let the worker end when it has run what it has got."""
        self.is_closing = True
        if self.is_open:
            with socket.socket(fileno=os.dup(self.fd)) as ours:
                try:
                    ours.shutdown(socket.SHUT_WR)
                except OSError:
                    pass  # it has ended

    def close(self) -> None:
        """Close all descriptors; the process has ended, or is another process's business."""
        if self.is_open:
            self.is_open = False
            os.close(self.fd)
            self._requests.close()
            self._responses.close()

    def close_sentinel(self) -> None:
        """Close the sentinel of a process that has been joined."""
        popen = getattr(self.process, "_popen", None)
        if popen is not None:
            popen.close()

    def forsake(self) -> None:
        """Close what a forked child has inherited of a worker of its parent."""
        self.close()
        if self.process is not None:
            # Not this process's child: it must neither be joined at exit nor listed.
            known: set[BaseProcess] = getattr(processes, "_children")  # noqa: B009
            known.discard(self.process)
            popen = getattr(self.process, "_popen", None)
            if popen is not None and popen.finalizer is not None:
                os.close(self.sentinel)
                popen.finalizer.cancel()
