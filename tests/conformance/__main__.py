"""The judge's command line: ``python -m conformance``, with the folder `tests` on the path."""

from __future__ import annotations

import argparse
import os
import sys
import time
from fnmatch import fnmatchcase

from conformance import exclusions, report, suites
from conformance.judge import judge


def main() -> int:
    """Judge, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="conformance", description=__doc__)
    parser.add_argument("modules", nargs="*", help="modules, as test_events; all if none is named")
    parser.add_argument("-k", metavar="PATTERN", help="only tests whose name is like *PATTERN*")
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1), metavar="N")
    parser.add_argument("--time-limit", type=float, default=60, metavar="SECONDS", help="of a test")
    parser.add_argument("--exclusions", action="store_true", help="print those for the docs")
    parser.add_argument("--debug", action="store_true", help="run in asyncio's debug mode")
    chosen = parser.parse_args()
    if chosen.exclusions:
        print(exclusions.as_markdown(exclusions.read()))
        return 0

    started = time.monotonic()
    try:
        modules = suites.modules()
    except ModuleNotFoundError as missing:
        parser.error(f"this Python comes without its tests, which Linux packages apart: {missing}")
    if chosen.modules:
        names = {module.rpartition(".")[2]: module for module in modules}
        if unknown := set(chosen.modules).difference(names):
            parser.error(f"no such module: {', '.join(sorted(unknown))}")
        modules = [names[name] for name in chosen.modules]
    pattern = f"*{chosen.k or ''}*"
    print(report.HEAD, flush=True)
    judgement = judge(
        modules,
        exclusions.read(),
        limit=chosen.time_limit,
        jobs=chosen.jobs,
        variables={"PYTHONASYNCIODEBUG": "1"} if chosen.debug else {},
        wanted=lambda test: fnmatchcase(test, pattern),
        complete=not chosen.modules and chosen.k is None,
        done=lambda verdict: print(report.row(verdict), flush=True),
    )
    summed = report.total(judgement.modules)
    print(report.row(summed))
    if summed.notes:
        print("\nNot passed by asyncio itself, here and now")
        print("\n".join(f"  {note}" for note in summed.notes))
    if summed.unsteady:
        print(f"\n{len(summed.unsteady)} unsteady{report.differences(summed.unsteady)}")
    found = judgement.differences
    print(f"\n{len(found)} differences" + report.differences(found) if found else "\nno difference")
    print("\n" + report.closing_line(summed, found, time.monotonic() - started))
    return 1 if found or not summed.rondel["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
