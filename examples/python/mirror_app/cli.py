"""The command line of mirror, and its exit codes."""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import time
from pathlib import Path

from mirror_app.progress import Progress, human
from mirror_app.run import Options, mirror
from mirror_app.targets import Target, parse_targets, read_list

ALL_THERE, SOME_FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130

EPILOG = """\
A URL may say which checksum the file must have: URL#sha256=HEX. A list has one URL a line; lines
that begin with # are comments. Run the same command again to go on with what is unfinished and to
fetch what is newer on the server.

exit codes: 0 all files are there; 1 some failed; 2 bad usage; 130 stopped by Ctrl-C
"""


def positive(text: str) -> float:
    """A positive, finite number."""
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError
    return number


def make_parser() -> argparse.ArgumentParser:
    """The options and their defaults."""
    parser = argparse.ArgumentParser(
        prog="mirror.py",
        description="Download a list of URLs, many at once, and lose nothing on the way.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("urls", nargs="*", metavar="URL", help="what to download")
    parser.add_argument(
        "-l",
        "--list",
        action="append",
        default=[],
        metavar="FILE",
        help="read more URLs from FILE (- for standard input)",
    )
    parser.add_argument(
        "-d",
        "--into",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where to save the files (default: here)",
    )
    parser.add_argument(
        "-j",
        "--jobs",
        type=int,
        default=8,
        metavar="N",
        help="at most N downloads at once (default: %(default)s)",
    )
    parser.add_argument(
        "-r",
        "--retries",
        type=int,
        default=4,
        metavar="N",
        help="try a broken download again, N times (default: %(default)s)",
    )
    parser.add_argument(
        "--backoff",
        type=positive,
        default=0.5,
        metavar="S",
        help="pause S seconds before the first retry, then twice as long each "
        "time (default: %(default)s)",
    )
    parser.add_argument(
        "-t",
        "--timeout",
        type=positive,
        default=30,
        metavar="S",
        help="give an attempt up after S seconds of silence (default: %(default)s)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="say only what failed")
    return parser


def gather_targets(urls: list[str], lists: list[str]) -> list[Target]:
    """The targets of the command line and of the lists. Raises `OSError` and `ValueError`."""
    texts = list(urls)
    for name in lists:
        if name == "-":
            texts += read_list(sys.stdin)
        else:
            with Path(name).open(encoding="utf-8") as lines:
                texts += read_list(lines)
    if not texts:
        raise ValueError("no URLs given")
    return parse_targets(texts)


def main(arguments: list[str]) -> int:
    """Run mirror with these arguments; return the exit code."""
    parser = make_parser()
    given = parser.parse_args(arguments)
    if given.jobs < 1:
        parser.error("argument -j/--jobs: must be at least 1")
    if given.retries < 0:
        parser.error("argument -r/--retries: must not be negative")
    try:
        targets = gather_targets(given.urls, given.list)
        given.into.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        parser.error(str(error))

    options = Options(given.into, given.jobs, given.retries, given.backoff, given.timeout)
    progress = Progress(len(targets), quiet=given.quiet)
    started = time.monotonic()
    try:
        outcomes = asyncio.run(mirror(targets, options, progress))
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    if not given.quiet:
        print(
            f"{len(targets)} files: {outcomes['fetched']} fetched, "
            f"{outcomes['unchanged']} unchanged, {outcomes['failed']} failed; "
            f"{human(progress.received)} in {time.monotonic() - started:.1f} s"
        )
    return SOME_FAILED if outcomes["failed"] else ALL_THERE
