"""The command line: ``python -m executor_conformance [POOL ...]``, with `tests` on the path."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from conformance import environment
from conformance.exclusions import Exclusion, read

from executor_conformance.pools import EXCLUSIONS, FASTEST, POOLS, START_METHODS, SUITE
from executor_conformance.session import Sessions

LIMIT = 120.0
"""Seconds that the tests of one module may take."""


def run(pool: str, module: str, start_method: str, sessions: Sessions) -> dict[str, str]:
    """Run the tests of a module on a pool, in an environment of their own; what came of each."""
    with tempfile.TemporaryDirectory() as folder:
        made = environment.make(Path(folder, "environment"), "stdlib")
        packages = next(made.folder.glob("lib/*/site-packages"))
        statement = f"substitution.substitute({pool!r})"
        (packages / "executors.pth").write_text(
            f"import executor_conformance.substitution as substitution; {statement}\n"
        )
        command = [str(made.python), "-X", "faulthandler", "-m", "executor_conformance.worker"]
        command += [pool, module, start_method]
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        ended = sessions.run(command, folder=made.work, variables=variables, limit=LIMIT)
    if ended.is_late:
        return {module: f"failed: not done after {LIMIT:.0f} s\n{ended.errors}"}
    if ended.code:
        return {module: f"failed: ended with {ended.code}\n{ended.errors}"}
    outcomes: dict[str, str] = json.loads(ended.output.splitlines()[-1])
    return outcomes or {module: "failed: there are no tests"}


def judge(outcomes: dict[str, str], exclusions: list[Exclusion]) -> tuple[Counter[str], list[str]]:
    """Return how many tests came out how, and what is not as it should be."""
    counts: Counter[str] = Counter()
    found = []
    for test, outcome in outcomes.items():
        result = outcome.split()[0].rstrip(":")
        excluded = [exclusion for exclusion in exclusions if exclusion.matches(test)]
        if result == "failed" and not excluded:
            found.append(f"{test} {outcome}")
        if result == "passed" and excluded and not excluded[0].sometimes:
            result = "failed"
            found.append(f"{test} passed, and must not be excluded")
        elif result != "skipped" and excluded:
            result = "excluded"
        counts[result] += 1
    return counts, found


def main() -> int:
    """Judge, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="executor_conformance", description=__doc__)
    parser.add_argument("pools", nargs="*", help=f"of {', '.join(POOLS)}; all if none is named")
    parser.add_argument(
        "--start-method",
        choices=START_METHODS,
        default=FASTEST,
        help="of workers of process pools; forkserver, whose tests take the least time, by default",
    )
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1), metavar="N")
    chosen = parser.parse_args()
    title = f"executors, Python {platform.python_version()}"
    suite = importlib.util.find_spec(SUITE)
    if suite is None:
        print(f"{title}: 0 passed, 0 failed, 1 skipped: this Python comes without {SUITE}")
        return 0
    whole = suite.submodule_search_locations is None
    began = time.monotonic()
    wanted = [
        (name, SUITE if whole else f"{SUITE}.test_{module}")
        for name in chosen.pools or POOLS
        for module in (POOLS[name].modules[:1] if whole else POOLS[name].modules)
    ]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Sessions() as sessions, ThreadPoolExecutor(chosen.jobs) as jobs:
        tests_of = partial(run, start_method=chosen.start_method, sessions=sessions)
        try:
            ran = list(jobs.map(tests_of, *zip(*wanted, strict=True)))
        except BaseException:
            sessions.end()
            raise
    exclusions = [exclusion for exclusion in read(EXCLUSIONS) if exclusion.applies()]
    total: Counter[str] = Counter()
    differences = []
    for (name, module), outcomes in zip(wanted, ran, strict=True):
        counts, found = judge(outcomes, exclusions)
        summary = ", ".join(f"{count} {result}" for result, count in counts.items())
        print(f"{name:10} {module.removeprefix('test.'):44} {summary}")
        total += counts
        differences += found
    print("\n".join(["", *differences]))
    print(
        f"{title}: {total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped, "
        f"{total['excluded']} excluded in {time.monotonic() - began:.0f} s"
    )
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
