"""Running CPython's tests on classes of Rondel's own, in this process."""

from __future__ import annotations

import importlib
import platform
import time
import unittest
from typing import Any

import rondel

# Its names are not typeshed's.
test_utils: Any = importlib.import_module("test.test_asyncio.utils")


def main(module: str, classes: str) -> int:
    """Run the tests, close as the judge does, and return the exit code."""
    started = time.monotonic()
    what = f"conformance, Python {platform.python_version()}, Rondel's own {classes}"
    ran = unittest.main(module=module, exit=False).result
    failed = len(ran.failures) + len(ran.errors) + len(ran.unexpectedSuccesses)
    passed = ran.testsRun - failed - len(ran.skipped)
    print(
        f"{what}: {passed} passed, {failed} failed, {len(ran.skipped)} skipped "
        f"in {time.monotonic() - started:.0f} s"
    )
    return 0 if ran.wasSuccessful() and passed else 1


class OnRondel:
    """Loops are Rondel's, but where a test supplies the times at which asyncio's wakes up."""

    def new_test_loop(self, gen: Any = None) -> Any:
        """Return a loop for a test."""
        if gen is not None:
            base: Any = super()
            return base.new_test_loop(gen)
        loop = rondel.new_event_loop()
        # As asyncio's test loop: both modes are tested where a test asks for them.
        test_utils.TestCase.set_event_loop(self, loop)
        return loop
