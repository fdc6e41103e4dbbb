"""What runs in a worker process: calls, one after the other, as they come over a socket.

A worker that Rondel starts itself loads this package by its path and without `rondel` around it,
which takes a third of the time. So nothing here imports anything else of `rondel`, and imports
within the package are relative.
"""

from __future__ import annotations

import os
import pickle
import traceback
import warnings
from collections.abc import Callable
from typing import Any

from . import framing, pickling
from .arena import STARTED, Inbox, Outbox

__all__ = ["Ends", "report_unfit", "serve"]


class Ends:
    """A worker's ends of what connects it with the pool; pickled while it is being started."""

    def __init__(self, socket: int, requests: int, responses: int) -> None:
        self.socket = socket
        self.requests = requests
        self.responses = responses

    def __reduce__(self) -> tuple[Callable[..., Ends], tuple[Any, ...]]:
        from multiprocessing.reduction import DupFd

        return _received, (DupFd(self.socket), DupFd(self.requests), DupFd(self.responses))

    def close(self) -> None:
        """Close them, where the worker is another process."""
        for descriptor in (self.socket, self.requests, self.responses):
            os.close(descriptor)


def _received(*descriptors: Any) -> Ends:
    return Ends(*(descriptor.detach() for descriptor in descriptors))


def serve(ends: Ends, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> None:
    """Run calls until the pool says that there are no more."""
    connection = _Connection(ends)
    if initializer is not None:
        try:
            initializer(*initargs)
        except BaseException as error:  # noqa: BLE001 - the pool raises it
            connection.send(0, framing.UNFIT, _described(error))
            _log_unfit(error)
            return
    del initializer, initargs
    connection.send(0, framing.READY, b"")
    connection.serve()


def report_unfit(ends: Ends, error: BaseException) -> None:
    """Tell the pool what has kept this process from becoming a worker."""
    _Connection(ends).send(0, framing.UNFIT, _described(error))


def _log_unfit(error: BaseException) -> None:
    """Say it where the standard library does."""
    import logging

    logger = logging.getLogger("concurrent.futures")
    # What may stand in the way of showing a traceback; see `_traceback_of`.
    with warnings.catch_warnings(action="ignore"):
        logger.critical("Exception in initializer:", exc_info=error)


class _Connection:
    def __init__(self, ends: Ends) -> None:
        self._socket = ends.socket
        self._requests = Inbox(ends.requests)
        self._responses = Outbox(ends.responses)
        self._frames = framing.Frames()

    def serve(self) -> None:
        words = self._requests.words
        while frames := self._read():
            for number, kind, body in frames:
                words[STARTED] = number
                self._send_outcome(number, kind, body)
            # A value is not kept while its worker idles.
            del frames, body

    def _read(self) -> list[tuple[int, int, bytes]]:
        """Return the next frames, none at the end of all."""
        while True:
            try:
                data = os.read(self._socket, framing.READ_SIZE)
            except KeyboardInterrupt:
                continue  # the pool's to handle: its process has got it, too
            except ConnectionResetError:
                return []
            if not data:
                return []
            frames = self._frames.feed(data)
            if frames:
                return frames

    def _send_outcome(self, number: int, kind: int, body: bytes) -> None:
        try:
            if kind & framing.IN_ARENA:
                function, arguments, options = self._requests.take(number, body)
            else:
                function, arguments, options = pickling.load(body)
            if kind & framing.CHUNK:
                result = [function(*each) for each in arguments]
            else:
                result = function(*arguments, **options)
            outcome = pickling.dump(result)
            kind = framing.RESULT
        except BaseException as error:  # noqa: BLE001 - the caller raises it
            outcome = _described(error)
            kind = framing.ERROR
        self.send(number, kind, outcome)

    def send(self, number: int, kind: int, body: bytes | pickling.Pickled) -> None:
        if isinstance(body, pickling.Pickled):
            body = self._responses.put(number, body)
            kind |= framing.IN_ARENA
        data = framing.frame(number, kind, body)
        try:
            while sent := os.write(self._socket, data):
                if sent == len(data):
                    return
                data = data[sent:]
        except (BrokenPipeError, ConnectionResetError):
            pass  # nobody waits for it any more


def _described(error: BaseException) -> bytes | pickling.Pickled:
    """Pickle an exception, or what went wrong when it was pickled, with its traceback as text."""
    try:
        text = _traceback_of(error)
        pickled = pickle.dumps(error, pickling.PROTOCOL)
    except BaseException as unpicklable:  # noqa: BLE001 - the caller raises it
        text = _traceback_of(unpicklable)
        try:
            pickled = pickle.dumps(unpicklable, pickling.PROTOCOL)
        except BaseException:  # noqa: BLE001 - an exception's own methods fail
            pickled = pickle.dumps(pickle.PicklingError(f"{type(error)} cannot be pickled"))
    return pickling.dump((text, pickled))


def _traceback_of(error: BaseException) -> str:
    """Return it as text, whatever stands in the way of that.

    From Python 3.15 on a warning does, where warnings are errors: it complains of the `__main__`
    that multiprocessing makes for a spawned process.
    """
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - as an exception's own methods may raise it
        try:
            with warnings.catch_warnings(action="ignore"):
                return "".join(traceback.format_exception(error))
        except Exception:  # noqa: BLE001 - the same
            return f"{type(error).__qualname__}, of which no traceback can be shown\n"
