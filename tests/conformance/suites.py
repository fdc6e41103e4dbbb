"""What is run: the test modules of the standard library that run on an event loop."""

from __future__ import annotations

import pkgutil
import sys

ASYNCIO = "test.test_asyncio"

_UNITTEST = "test.test_unittest" if sys.version_info >= (3, 12) else "unittest.test"

BESIDES = (
    "test.test_asyncgen",
    "test.test_contextlib_async",
    "test.test_coroutines",
    f"{_UNITTEST}.test_async_case",
    f"{_UNITTEST}.testmock.testasync",
)
"""Modules outside asyncio's own suite whose tests run coroutines through asyncio's front door."""

LOOK_INTO_TEST_LOOPS = tuple(
    f"{ASYNCIO}.{name}"
    for name in ("test_proactor_events", "test_selector_events", "test_unix_events")
)
"""Modules that test asyncio's transports by what these leave in a test loop's dictionaries."""


def modules() -> list[str]:
    """Return the names of all modules with tests.

    Raises ModuleNotFoundError if the interpreter comes without its tests.
    """
    suite = __import__(ASYNCIO, fromlist=["__path__"])
    names = sorted(module.name for module in pkgutil.iter_modules(suite.__path__))
    return [f"{ASYNCIO}.{name}" for name in names if name.startswith("test_")] + list(BESIDES)
