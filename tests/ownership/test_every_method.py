"""No coroutine function of asyncio's that waits for the loop is left out of the cancellations."""

from __future__ import annotations

import asyncio
import inspect

from support.ownership.catalogue import OPERATIONS

CLASSES = [
    asyncio.AbstractEventLoop,
    asyncio.Server,
    asyncio.StreamReader,
    asyncio.StreamWriter,
    asyncio.subprocess.Process,
]
MODULES = [asyncio.streams, asyncio.subprocess]
ELSEWHERE = {
    "AbstractEventLoop.shutdown_asyncgens": "test_shutdown_cancelled.py: it is the loop's end",
    "AbstractEventLoop.shutdown_default_executor": "test_shutdown_cancelled.py",
}


def all_that_wait() -> set[str]:
    found = {"AbstractEventLoop.run_in_executor"}  # a function that returns a future
    for owner in CLASSES:
        for method, _ in inspect.getmembers(owner, inspect.iscoroutinefunction):
            if not method.startswith("_") or method == "__anext__":
                found.add(f"{owner.__name__}.{method}")
    for module in MODULES:
        found |= {
            name for name in module.__all__ if inspect.iscoroutinefunction(vars(module)[name])
        }
    return found


def test_every_one_is_cancelled_somewhere() -> None:
    covered = {name for operation in OPERATIONS.values() for name in operation.covers}
    assert all_that_wait() - covered == ELSEWHERE.keys()
    assert covered <= all_that_wait()
