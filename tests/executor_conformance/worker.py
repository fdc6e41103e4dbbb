"""Inside an interpreter: run the tests of one module that are about one pool.

Usage: ``python -m executor_conformance.worker POOL MODULE START_METHOD``. The last line of the
output is a JSON object: of each test, by name, whether it "passed", was "skipped" or "excluded", or
how it "failed".
"""

from __future__ import annotations

import concurrent.futures
import json
import re
import sys
import time
import traceback
import unittest
from collections.abc import Iterator
from typing import Any

from conformance.exclusions import read

from executor_conformance.pools import EXCLUSIONS, POOLS, pattern


class Recorder(unittest.TextTestResult):
    """Keeps what came of each test."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.outcomes: dict[str, str] = {}
        self._began = 0.0

    def startTest(self, test: unittest.TestCase) -> None:
        """A test begins."""
        super().startTest(test)
        self._began = time.monotonic()
        self.outcomes[test.id()] = "passed"

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        """A test ends with an error; what it leaves must not live as long as its traceback."""
        super().addError(test, err)
        if isinstance(err[1], AttributeError):
            err[1].obj = None
        traceback.clear_frames(err[2])

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        """A test fails."""
        super().addFailure(test, err)
        traceback.clear_frames(err[2])

    def stopTest(self, test: unittest.TestCase) -> None:
        """A test has ended."""
        super().stopTest(test)
        for failed, how in self.failures + self.errors:
            took = time.monotonic() - self._began
            if self.outcomes.get(failed.id(), "passed") == "passed":
                self.outcomes[failed.id()] = f"failed after {took:.1f} s\n{how}"
        for skipped, reason in self.skipped:
            self.outcomes[skipped.id()] = f"skipped: {reason}"


def main(pool: str, module: str, start_method: str) -> None:
    """Run, and tell."""
    # Had the interpreter failed to do so when it started, it would have gone on with its own class.
    if getattr(concurrent.futures, POOLS[pool].class_name).__module__.partition(".")[0] != "rondel":
        raise RuntimeError("the standard library's executor is still in its place")
    names = re.compile(pattern(pool, start_method))

    def tests(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
        for member in suite:
            if isinstance(member, unittest.TestSuite):
                yield from tests(member)
            elif names.match(type(member).__name__):
                yield member

    hanging = [each for each in read(EXCLUSIONS) if each.hangs and each.applies()]
    loaded = unittest.defaultTestLoader.loadTestsFromName(module)
    run, outcomes = unittest.TestSuite(), {}
    for test in tests(loaded):
        if any(exclusion.matches(test.id()) for exclusion in hanging):
            outcomes[test.id()] = "excluded"
        else:
            run.addTest(test)
    runner = unittest.TextTestRunner(sys.stderr, verbosity=2, resultclass=Recorder)
    outcomes.update(runner.run(run).outcomes)  # type: ignore[attr-defined]
    # On a line of its own, whatever tests have printed.
    print("\n" + json.dumps(outcomes))


if __name__ == "__main__":
    main(*sys.argv[1:])
