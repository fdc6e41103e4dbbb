# mypy: disable-error-code="misc, valid-type"
"""CPython's own tests of locks, events, queues, timeouts, sleep and gather, run on Rondel's.

The suites name them as ``asyncio.Lock``; here, for as long as they run, that is Rondel's. They are
run on asyncio's loop, whose futures are not ours, and on Rondel's own.

Run it with ``python -m conformance.synchronisation`` in ``tests``; options are those of unittest.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import unittest
from typing import Any
from unittest import mock

import rondel

from conformance import own_classes

NAMES = ("Lock", "Event", "Queue", "Timeout", "gather", "sleep", "timeout", "timeout_at")
SUITES: dict[str, Any] = {
    name: importlib.import_module(f"test.test_asyncio.{name}")
    for name in ("test_locks", "test_queues", "test_timeouts")
}
test_tasks: Any = importlib.import_module("test.test_asyncio.test_tasks")

LEFT_OUT = {
    "LockTests.test_lock": "the interpreter's error names native classes with their module",
    "LockTests.test_lock_by_with_statement": "as test_lock",
    "EventTests.test_repr": "puts a mock among the waiters, in a deque of the implementation's",
    "QueueGetTests.test_get_with_putters": "as EventTests.test_repr",
}
"""Tests that are about how CPython's classes are made, by the end of their name."""


def _substituted() -> Any:
    return mock.patch.multiple(asyncio, **{name: getattr(rondel, name) for name in NAMES})


def _cases(suite: Any) -> list[type[unittest.IsolatedAsyncioTestCase]]:
    return [
        case
        for case in vars(suite).values()
        if isinstance(case, type) and issubclass(case, unittest.TestCase)
    ]


def _of_ours(case: type[unittest.IsolatedAsyncioTestCase], on_rondel: bool) -> type:
    """Return the tests of ``case``, run on our classes."""

    class Ours(case):
        def run(self, result: Any = None) -> Any:
            with _substituted():
                return super().run(result)

        def _setupAsyncioRunner(self) -> None:
            factory = rondel.new_event_loop if on_rondel else None
            self._asyncioRunner = asyncio.Runner(debug=True, loop_factory=factory)

    suffix = "OnRondel" if on_rondel else "OnAsyncio"
    Ours.__name__ = Ours.__qualname__ = f"{case.__name__}{suffix}"
    for name in unittest.defaultTestLoader.getTestCaseNames(case):
        reason = LEFT_OUT.get(f"{case.__name__}.{name}")
        if reason is not None:
            setattr(Ours, name, unittest.skip(reason)(getattr(case, name)))
    return Ours


for _suite in SUITES.values():
    for _case in _cases(_suite):
        for _on_rondel in (False, True):
            _made = _of_ours(_case, _on_rondel)
            globals()[_made.__name__] = _made


class OfTasks:
    """Tests of tasks, which are about asyncio's functions where they call those."""

    def run(self, result: Any = None) -> Any:
        """Run one test."""
        with _substituted():
            return super().run(result)


class OnRondel(own_classes.OnRondel, OfTasks):
    pass


class TaskTests(OfTasks, test_tasks.CTask_CFuture_Tests):
    pass


class TaskTestsOnRondel(OnRondel, test_tasks.CTask_CFuture_Tests):
    if sys.version_info < (3, 14):
        Task = rondel.Task
        Future = rondel.Future


class FutureGatherTests(OfTasks, test_tasks.FutureGatherTests):
    pass


class FutureGatherTestsOnRondel(OnRondel, test_tasks.FutureGatherTests):
    pass


class CoroutineGatherTests(OfTasks, test_tasks.CoroutineGatherTests):
    pass


class CoroutineGatherTestsOnRondel(OnRondel, test_tasks.CoroutineGatherTests):
    pass


class SleepTests(OfTasks, test_tasks.SleepTests):
    pass


class SleepTestsOnRondel(OfTasks, test_tasks.SleepTests):
    def setUp(self) -> None:
        with mock.patch.object(asyncio, "new_event_loop", rondel.new_event_loop):
            super().setUp()


if __name__ == "__main__":
    sys.exit(own_classes.main(__name__, "locks, events, queues, timeouts, sleep and gather"))
