"""The options of ``python -m benches``, and what is done with the results."""

from __future__ import annotations

import argparse
import fnmatch
import sys
from pathlib import Path

from rondel.compare.limits import raise_open_files

from benches import document, layouts, page, picture, rounds, table
from benches.contest import Results
from benches.contestants import CONTESTANTS, FOR_GOALS, Contestant, parse
from benches.layouts import Layout
from benches.measure import FULL, QUICK
from benches.workload import Idle, InProcess, Startup, Workload
from benches.workloads import WORKLOADS

_ROUNDS = 5
_QUICK_ROUNDS = 2
_GOALS_ROUNDS = 5


def main(arguments: list[str]) -> int:
    """Measure, and print or write what the options ask for; return the exit code.

    0 if there are results, 2 for bad options or files, 130 after Ctrl-C, which shows what is
    there by then.
    """
    options = _parse(arguments)
    if options.list:
        for workload in WORKLOADS:
            print(f"{workload.group:12} {workload.name:24} {workload.title}")
        return 0
    try:
        if options.results is not None:
            results = document.parse(options.results.read_text(encoding="utf-8"))
        else:
            results = _measure(options)
        sys.stdout.write(table.render(results))
        _write(results, options)
    except (OSError, ValueError) as error:
        print(f"python -m benches: {error}", file=sys.stderr)
        return 2
    return 130 if results.environment.get("interrupted") else 0


def _measure(options: argparse.Namespace) -> Results:
    measurements = [
        (workload, layout)
        for workload in WORKLOADS
        if _is_wanted(workload, options.workloads)
        for layout in _layouts(workload, options)
    ]
    if not measurements:
        raise ValueError("no workload has such a name; --list shows all")
    raise_open_files()
    return rounds.run(
        measurements,
        options.contestants or (FOR_GOALS if options.goals else CONTESTANTS),
        options.rounds or _rounds(options),
        QUICK if options.quick else FULL,
        sys.stderr,
    )


def _rounds(options: argparse.Namespace) -> int:
    if options.quick:
        return _QUICK_ROUNDS
    return _GOALS_ROUNDS if options.goals else _ROUNDS


def _write(results: Results, options: argparse.Namespace) -> None:
    if options.json is not None:
        options.json.write_text(document.render(results), encoding="utf-8")
    if options.docs is None:
        return
    options.docs.mkdir(parents=True, exist_ok=True)
    pictures = picture.render_all(results)
    for name, content in pictures.items():
        (options.docs / f"{name}.svg").write_text(content, encoding="utf-8")
    (options.docs / "results.md").write_text(page.render(results, pictures), encoding="utf-8")


def _is_wanted(workload: Workload, patterns: list[str]) -> bool:
    names = (workload.name, workload.group)
    return not patterns or any(
        fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns
    )


def _layouts(workload: Workload, options: argparse.Namespace) -> tuple[Layout, ...]:
    match workload:
        case InProcess(threads=False, server=()) | Startup():
            return (layouts.alone(),)
        case Idle():
            return layouts.here()[:1]
    if options.layout is not None:
        return tuple(layout for layout in layouts.here() if layout.name == options.layout)
    return layouts.here()[:1] if options.quick or options.goals else layouts.here()


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benches",
        description="Measure event loops side by side, in turns, each in processes of its own.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "workloads",
        nargs="*",
        metavar="WORKLOAD",
        help="names or groups, in which * and ? match anything (default: all)",
    )
    parser.add_argument("--list", action="store_true", help="list the workloads, by group")
    parser.add_argument(
        "--contestants",
        nargs="+",
        type=_contestant,
        metavar="NAME[=MODULE:FACTORY[@PYTHON]]",
        help="known ones by name, any other loop with its factory and, if need be, interpreter "
        f"(default: {' '.join(contestant.name for contestant in CONTESTANTS)})",
    )
    parser.add_argument(
        "--layout",
        choices=[layout.name for layout in layouts.here()],
        help="both sides of a connection on one core, or apart (default: one after the other)",
    )
    parser.add_argument(
        "--rounds",
        type=_count,
        metavar="N",
        help=f"how often all is measured (default {_ROUNDS}, for goals {_GOALS_ROUNDS}, "
        f"quick {_QUICK_ROUNDS})",
    )
    parser.add_argument(
        "--quick", action="store_true", help="a few minutes: less of each, on one layout"
    )
    parser.add_argument(
        "--goals",
        action="store_true",
        help="some 30 minutes: every workload, on one layout, with those that goals compare with",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample as JSON")
    parser.add_argument(
        "--docs", type=Path, metavar="FOLDER", help="write a page with tables, and pictures"
    )
    parser.add_argument(
        "--results", type=Path, metavar="FILE", help="measure nothing: show what --json wrote"
    )
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def _contestant(text: str) -> Contestant:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
