"""The options of ``python -m benches``, and what is done with the results."""

from __future__ import annotations

import argparse
import fnmatch
import sys

from rondel.compare.limits import raise_open_files

from benches import layouts, rounds, table
from benches.contestants import CONTESTANTS, Contestant, parse
from benches.layouts import Layout
from benches.measure import FULL, QUICK
from benches.workload import Idle, InProcess, Startup, Workload
from benches.workloads import WORKLOADS

_ROUNDS = 5
_QUICK_ROUNDS = 3


def main(arguments: list[str]) -> int:
    """Measure, and print or write what the options ask for; return the exit code."""
    options = _parse(arguments)
    if options.list:
        for workload in WORKLOADS:
            print(f"{workload.group:12} {workload.name:24} {workload.title}")
        return 0
    chosen = [
        (workload, layout)
        for workload in WORKLOADS
        if _is_wanted(workload, options.workloads)
        for layout in _layouts(workload)
        if options.layout in (None, layout.name, "alone") or layout.name == "alone"
    ]
    if not chosen:
        print("no workload has such a name; --list shows all", file=sys.stderr)
        return 2
    raise_open_files()
    try:
        results = rounds.run(
            chosen,
            options.contestants or CONTESTANTS,
            options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS),
            QUICK if options.quick else FULL,
            sys.stderr,
        )
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    sys.stdout.write(table.render(results))
    return 0


def _is_wanted(workload: Workload, patterns: list[str]) -> bool:
    names = (workload.name, workload.group)
    return not patterns or any(
        fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns
    )


def _layouts(workload: Workload) -> tuple[Layout, ...]:
    match workload:
        case InProcess(threads=False, server=()) | Startup():
            return (layouts.alone(),)
        case Idle():
            return layouts.here()[:1]
    return layouts.here()


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benches",
        description="Measure event loops side by side.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "workloads",
        nargs="*",
        metavar="WORKLOAD",
        help="names or groups, * and ? match (default: all)",
    )
    parser.add_argument(
        "--contestants",
        nargs="+",
        type=_contestant,
        metavar="NAME[=MODULE:FACTORY[@PYTHON]]",
        help="known ones by name, any other loop with its factory and, if need be, interpreter",
    )
    parser.add_argument("--layout", choices=[layout.name for layout in layouts.here()])
    parser.add_argument("--rounds", type=int, metavar="N", help=f"rounds (default {_ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="shorter measurements, fewer rounds")
    parser.add_argument("--list", action="store_true", help="list the workloads")
    return parser.parse_args(arguments)


def _contestant(text: str) -> Contestant:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
