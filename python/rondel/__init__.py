"""Rondel: asyncio, rebuilt in Rust.

``rondel.run(main())`` is ``asyncio.run(main())`` on Rondel's event loop; any asyncio program runs
on it unmodified, as ``python -m rondel program.py`` shows.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rondel._rondel import Event, Lock, Queue, Timeout, __version__, sleep, timeout, timeout_at
from rondel.loop import Loop
from rondel.running import new_event_loop, run

if TYPE_CHECKING:
    from rondel.driver import driver_report
    from rondel.executors import ThreadPoolExecutor, ThreadPoolStats
    from rondel.executors.processes import ProcessPoolExecutor, WorkerDied

__all__ = [
    "Event",
    "Lock",
    "Loop",
    "ProcessPoolExecutor",
    "Queue",
    "ThreadPoolExecutor",
    "ThreadPoolStats",
    "Timeout",
    "WorkerDied",
    "__version__",
    "driver_report",
    "gather",
    "new_event_loop",
    "run",
    "sleep",
    "timeout",
    "timeout_at",
]

# What not every program uses is imported by those that do, as in `concurrent.futures`.
_MODULES = {
    "ProcessPoolExecutor": "rondel.executors.processes",
    "ThreadPoolExecutor": "rondel.executors",
    "ThreadPoolStats": "rondel.executors",
    "WorkerDied": "rondel.executors.processes",
    "driver_report": "rondel.driver",
}

if sys.version_info < (3, 14):
    # From 3.14 on asyncio draws call graphs, of its own tasks and futures alone: loops make those.
    from rondel._rondel import Future, Task, gather

    __all__ += ["Future", "Task"]
else:
    from asyncio import gather

if sys.version_info < (3, 16):
    # Policies are deprecated from Python 3.14 on, and gone from 3.16: the names are there as long
    # as they mean something, and importing them warns of nothing.
    if TYPE_CHECKING:
        from rondel.policy import EventLoopPolicy, install

    __all__ += ["EventLoopPolicy", "install"]
    _MODULES |= {"EventLoopPolicy": "rondel.policy", "install": "rondel.policy"}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(globals().keys() | _MODULES)
