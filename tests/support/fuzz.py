"""Random tests: the seed of this run, which is printed, and how much of it to run.

``RONDEL_FUZZ_SEED`` replays a run, ``RONDEL_FUZZ_ROUNDS`` makes it shorter or longer.
"""

from __future__ import annotations

import os
import secrets

SEED = int(os.environ.get("RONDEL_FUZZ_SEED") or secrets.randbelow(1_000_000_000))
"""Seed of the first batch; each batch after it has the next number."""

SAMPLE = os.environ.get("RONDEL_TESTS_SAMPLE") == "1"
"""Whether another Python's run has all that is tested, and this one a sample of some of it."""

ROUNDS = int(os.environ.get("RONDEL_FUZZ_ROUNDS") or (2_000 if SAMPLE else 10_000))
"""Rounds on Rondel's loop; the other loops, which prove the test, get a share of it."""


def replay(seed: int, rounds: int) -> str:
    """How to run one batch again: what goes before the command."""
    return f"RONDEL_FUZZ_SEED={seed} RONDEL_FUZZ_ROUNDS={rounds}"
