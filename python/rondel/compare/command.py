"""The options of ``python -m rondel compare``, and what is done with the results."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import NoReturn

from rondel.compare import document, measure, picture, table

_SIZES = [1, 100, 10_000]
_QUICK_SIZES = [1, 100]
_ROUNDS = 3
_BUDGET = 60.0
"""Seconds after which no work is measured a further time."""


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the options."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: list[str]) -> int:
    """Measure, and print or write what the options ask for; return the exit code.

    0 for success, 1 if nothing can be measured here, 2 for bad options or a file that cannot be
    written, 130 after Ctrl-C; all but success with one line on stderr.
    """
    options = _parse(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that has no µ shows a question mark.
            stream.reconfigure(errors="replace")
    files = [file for file in (options.json, options.svg) if file not in (None, "-")]
    try:
        for file in files:
            # Better now than after a minute.
            Path(file).open("a").close()
        results = measure.run(options.units, options.rounds, _BUDGET, sys.stderr)
        if options.json is not None:
            _write(options.json, document.render(results))
        if options.svg is not None:
            _write(options.svg, picture.render(results))
        if "-" not in (options.json, options.svg):
            sys.stdout.write(table.render(results))
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except ChildProcessError as error:
        print(f"python -m rondel compare: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"python -m rondel compare: {error}", file=sys.stderr)
        return 2
    return 0


def _write(file: str, content: str) -> None:
    if file == "-":
        sys.stdout.write(content)
    else:
        Path(file).write_text(content, encoding="utf-8")


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="python -m rondel compare",
        description="Measure asyncio on Rondel, asyncio, threads and processes side by side: "
        "I/O-bound work, blocking calls, CPU-bound work, cost and memory of one unit. "
        "Takes about a minute.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write every sample and the environment as JSON, to standard output instead of the "
        "table if no FILE is named",
    )
    parser.add_argument("--svg", metavar="FILE", help="draw the table as a picture")
    parser.add_argument(
        "--units",
        type=_units,
        metavar="N,N,...",
        help="numbers of units (default 1,100,10000)",
    )
    parser.add_argument("--rounds", type=_count, metavar="N", help=f"rounds (default {_ROUNDS})")
    parser.add_argument(
        "--quick", action="store_true", help="one round of 1 and 100 units: a few seconds"
    )
    options = parser.parse_args(arguments)
    options.units = options.units or (_QUICK_SIZES if options.quick else _SIZES)
    options.rounds = options.rounds or (1 if options.quick else _ROUNDS)
    return options


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def _units(text: str) -> list[int]:
    return sorted({_count(part) for part in text.split(",")})
