"""Print the closing line of each test run in a folder of logs, and the sum of all.

Usage: closing_lines.py FOLDER, with one ``NAME.log`` a run, written by pytest, cargo nextest,
cargo test, a judge of conformance or the soak. The exit code is 1 when a run failed a test or
never got to its closing line, or when there was none.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

# pytest's, cargo nextest's, cargo test's (one for each binary), the judges', and the soak's.
CLOSING = re.compile(
    r"^=+ .*\b(?:passed|failed|errors?|skipped|deselected|no tests ran)\b.* in [\d.]+s.* =+$"
    r"|^\s*Summary \[.*\btests? run: .*$"
    r"|^test result: .*$"
    r"|^(?:conformance|executors|soak), Python .*$",
    re.MULTILINE,
)
COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped|timed out|ignored)\b")
SAME = {"error": "failed", "errors": "failed", "timed out": "failed", "ignored": "skipped"}
COLOUR = re.compile(r"\x1b\[[\d;]*m")


def closing_lines(log: str) -> list[str]:
    """Return the lines with which test runners closed in this log, without colours.

    Lines of binaries without any test are left out, if others have some.
    """
    lines = [match.group().strip() for match in CLOSING.finditer(COLOUR.sub("", log))]
    return [line for line in lines if counts(line)] or lines


def counts(line: str) -> Counter[str]:
    """Return how many tests "passed", "failed" and were "skipped" according to a closing line."""
    total: Counter[str] = Counter()
    for number, outcome in COUNT.findall(line):
        total[SAME.get(outcome, outcome)] += int(number)
    return +total


def main(folder: Path) -> int:
    """Print the closing lines of the logs in ``folder``; return the exit code."""
    total: Counter[str] = Counter()
    unfinished = 0
    print("\nClosing lines")
    for path in sorted(folder.glob("*.log")):
        lines = closing_lines(path.read_text(errors="replace"))
        unfinished += not lines
        for line in lines or ["did not finish"]:
            print(f"  {path.stem:18}{line}")
            total += counts(line)
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return 1 if total["failed"] or unfinished or not total["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
