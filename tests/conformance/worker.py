"""Inside an interpreter: find tests, run them, and tell the supervisor of each start and end.

Usage: ``python -m conformance.worker list|run DESCRIPTOR CENSUS REQUEST``. The request is a file in
JSON: for ``list`` a list of modules, for ``run`` ``[module, [test, ...]]``. What happens is written
to the descriptor as one JSON object a line, see `Record`.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import json
import os
import sys
import traceback
import unittest
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypedDict

from conformance import substitution, suites

Result = Literal["passed", "skipped", "failed", "crashed", "hung", "not run"]
"""How a test ended; the last three are for who watches from outside to tell."""


class Record(TypedDict, total=False):
    """One line: a test was found, has begun, or has ended."""

    event: Literal["found", "begun", "ended"]
    test: str
    module: str
    result: Result
    detail: str
    loops: dict[str, int]


class Teller:
    """Writes records to the supervisor; forked children have nothing to tell."""

    def __init__(self, descriptor: int, census: Path) -> None:
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor
        self._process = os.getpid()
        self._census = census
        self._counted = 0

    def found(self, module: str, test: str) -> None:
        """Tell of a test in a module."""
        self._tell({"event": "found", "module": module, "test": test})

    def begun(self, test: str) -> None:
        """Tell that a test has begun."""
        self._tell({"event": "begun", "test": test})

    def ended(self, test: str, result: Result, detail: str = "") -> None:
        """Tell that a test has ended, and which loops it has made."""
        lines = self._census.read_text().splitlines()
        loops = Counter(lines[self._counted :])
        self._counted = len(lines)
        self._tell(
            {"event": "ended", "test": test, "result": result, "detail": detail, "loops": loops}
        )

    def _tell(self, record: Record) -> None:
        if os.getpid() == self._process:
            line = json.dumps(record).encode() + b"\n"
            while line:
                line = line[os.write(self._descriptor, line) :]


class Recorder(unittest.TestResult):
    """Passes on each test's start and end."""

    def __init__(self, tell: Teller, planned: list[str]) -> None:
        super().__init__()
        self._teller = tell
        self._planned = dict.fromkeys(planned)
        self._running: str | None = None
        self._result: Result = "passed"
        self._detail = ""

    def startTest(self, test: unittest.TestCase) -> None:
        """A test begins."""
        super().startTest(test)
        self._running, self._result, self._detail = test.id(), "passed", ""
        self._teller.begun(self._running)

    def stopTest(self, test: unittest.TestCase) -> None:
        """A test has ended, with all of its cleanups."""
        super().stopTest(test)
        if self._running is not None:
            self._end(self._running, self._result, self._detail)
        self._running = None

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        """A test, a part of one, or a whole class or module is skipped."""
        super().addSkip(test, reason)
        self._add(test, "skipped", reason)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        """An assertion has failed."""
        super().addFailure(test, err)
        self._add(test, "failed", self.failures[-1][1])

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        """A test, or the set-up or the tear-down of a class or module, has raised."""
        super().addError(test, err)
        self._add(test, "failed", self.errors[-1][1])

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        """A part of a test has ended."""
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._add(test, "failed", "".join(traceback.format_exception(*err)))

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        """A test that should fail has passed."""
        super().addUnexpectedSuccess(test)
        self._add(test, "failed", "unexpected success")

    def _add(self, test: unittest.TestCase, result: Result, detail: str) -> None:
        if self._running is not None:
            if self._result != "failed":
                self._result = result
            self._detail += detail
        elif isinstance(test, unittest.TestCase):
            # Some Pythons skip a test without starting it.
            self._end(test.id(), result, detail)
        else:
            for name in self._concerned(test.id()):
                self._end(name, result, detail)

    def _concerned(self, what: str) -> list[str]:
        """Return the tests that a failed "setUpClass (module.Class)" is about.

        After a failed tear-down nothing is left to be run: it is reported by its own name.
        """
        step, _, owner = what.rstrip(")").partition(" (")
        if step.startswith("setUp"):
            return [name for name in self._planned if name.startswith(owner + ".")]
        return [what]

    def _end(self, name: str, result: Result, detail: str) -> None:
        self._planned.pop(name, None)
        self._teller.ended(name, result, detail)


def tests_of(module: str) -> Iterator[unittest.TestCase]:
    """Import a module and return its tests, in the order in which unittest runs them."""
    pending: list[Any] = [
        unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(module))
    ]
    while pending:
        each = pending.pop(0)
        if isinstance(each, unittest.TestSuite):
            pending[:0] = list(each)
        else:
            yield each


def find(teller: Teller, modules: list[str]) -> None:
    """Tell of every test in these modules; one that cannot be imported ends by its own name."""
    for module in modules:
        try:
            for test in tests_of(module):
                teller.found(module, test.id())
        except unittest.SkipTest as skipped:
            teller.ended(module, "skipped", str(skipped))
        except Exception:
            teller.ended(module, "failed", traceback.format_exc())


def run(teller: Teller, module: str, planned: list[str]) -> None:
    """Run these tests of a module."""
    recorder = Recorder(teller, planned)
    wanted = set(planned)
    try:
        suite = unittest.TestSuite(test for test in tests_of(module) if test.id() in wanted)
    except (Exception, unittest.SkipTest) as error:
        result: Result = "skipped" if isinstance(error, unittest.SkipTest) else "failed"
        for test in planned:
            teller.ended(test, result, traceback.format_exc())
        return
    if module not in suites.LOOK_INTO_TEST_LOOPS:
        substitution.replace_test_loops()
    # Tests collect garbage by the thousand: spare them the modules, which take most of the time.
    gc.collect()
    gc.freeze()
    suite.run(recorder)


def main() -> None:
    """Do what the supervisor asks for."""
    faulthandler.enable()
    command, descriptor, census, requested = sys.argv[1:]
    teller = Teller(int(descriptor), Path(census))
    request = json.loads(Path(requested).read_text())
    if command == "list":
        find(teller, request)
    else:
        run(teller, *request)


if __name__ == "__main__":
    main()
