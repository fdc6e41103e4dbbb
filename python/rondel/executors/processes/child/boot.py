"""The first steps of a worker that Rondel starts itself, as `multiprocessing.spawn` takes them."""

from __future__ import annotations

import os
import pickle
import sys
from multiprocessing import process, resource_tracker, spawn
from typing import Any

from . import Ends, report_unfit, serve


class _Process(process.BaseProcess):
    """The process itself: what `multiprocessing.current_process()` returns in it."""

    _start_method = "spawn"

    def __init__(self, state: dict[str, Any], calls: tuple[Any, ...]) -> None:
        vars(self).update(state)
        self._calls = calls

    def run(self) -> None:
        calls = self._calls
        del self._calls
        serve(*calls)


def main(data: int) -> None:
    """Become the worker that the memory file `data` describes; does not return."""
    with open(data, "rb") as file:
        parent, tracker, *descriptors = pickle.load(file)
        ends = Ends(*descriptors)
        its_tracker: Any = resource_tracker._resource_tracker
        its_tracker._fd = tracker
        try:
            parent_sentinel = os.pidfd_open(parent)
        except ProcessLookupError:
            sys.exit(1)
        current: Any = process.current_process()
        current._inheriting = True
        try:
            spawn.prepare(pickle.load(file))
            state, initializer, initargs = pickle.load(file)
        except BaseException as error:  # noqa: BLE001 - the pool raises it
            report_unfit(ends, error)
            sys.exit(1)
        finally:
            del current._inheriting
    worker: Any = _Process(state, (ends, initializer, initargs))
    del initializer, initargs
    sys.exit(worker._bootstrap(parent_sentinel))
