"""Running CPython's tests on classes of Rondel's own, in this process."""

from __future__ import annotations

import platform
import time
import unittest


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
