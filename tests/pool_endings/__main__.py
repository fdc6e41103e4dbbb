"""The command line: ``python -m pool_endings [SECONDS]``, with the folder `tests` on the path."""

from __future__ import annotations

import platform
import sys
from itertools import product

from pool_endings.endings import DRIVERS, ENDINGS, POOLS, STATES, try_out


def main(within: float = 1.0) -> int:
    """Try all, print what came of each, and return the exit code."""
    all_of_them = []
    for pool, driver, ending in product(POOLS, DRIVERS, ENDINGS):
        for ended in try_out(pool, driver, ending, STATES):
            print(ended, "" if ended.is_well(within) else "  FAILED", flush=True)
            all_of_them.append(ended)
    wrong = sum(not ended.is_well(within) for ended in all_of_them)
    print(
        f"pool endings, Python {platform.python_version()}: {len(all_of_them) - wrong} passed,"
        f" {wrong} failed, {max(ended.seconds for ended in all_of_them):.3f} s at most"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:])))
