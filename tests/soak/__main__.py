"""The command line of the soak: ``python -m soak``, with the folder `tests` on the path."""

from __future__ import annotations

import argparse
import asyncio
import platform
import random
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import rondel

from soak import local, network, samples, verdict
from soak.house import Complaints, House
from soak.rounds import Exchange, Soak

EXCHANGES: tuple[Exchange, ...] = (*network.EXCHANGES, *local.EXCHANGES)
ROUNDS = 60
"""How many rounds a soak has, if none gets longer than `LONGEST_ROUND` by that."""
LONGEST_ROUND = 20.0
"""Seconds."""


def main(arguments: list[str], exchanges: Iterable[Exchange] = EXCHANGES) -> int:
    """Soak, print the series and the judgement, and return the exit code: 1 if a check failed."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options = parser.parse_args(arguments)
    seconds = 60 * options.minutes

    print(f"{options.minutes:g} minutes of soak, seed {options.seed}; each line is a rest\n")
    print(samples.HEAD, flush=True)
    started = time.monotonic()
    complaints = Complaints()
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=rondel.new_event_loop) as runner,
    ):
        complaints.install(runner.get_loop())
        soak = Soak(House(Path(folder), options.seed), complaints, exchanges)
        runner.run(
            soak.run(
                seconds,
                min(seconds / ROUNDS, LONGEST_ROUND),
                lambda sample: print(samples.row(sample), flush=True),
            )
        )
    checks = [
        *verdict.judge_series(soak.series.all()),
        *verdict.judge_exchanges(soak.done, soak.failed),
        verdict.judge_complaints(complaints.texts),
    ]
    print()
    for check in checks:
        print(f"{'passed' if check.passed else 'FAILED'}  {check.name:20} {check.why}")
    passed = sum(check.passed for check in checks)
    print(
        f"\nsoak, Python {platform.python_version()}: {passed} passed, {len(checks) - passed}"
        f" failed in {time.monotonic() - started:.0f} s, {sum(soak.done.values()):,} exchanges"
    )
    return 0 if passed == len(checks) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
