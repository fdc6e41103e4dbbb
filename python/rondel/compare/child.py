"""One measurement in a fresh process, whose arguments are one specification.

The specification and what is printed are JSON: ``{"time": seconds}``, or ``{"cost": seconds,
"memory": bytes or null}``, or ``{"reason": text}`` when the system refuses.
"""

from __future__ import annotations

import json
import sys

from rondel.compare import memory, units, workloads
from rondel.compare.limits import raise_open_files

_SPARE_FILES = 64


def _measure(work: str, contestant: str, count: int, ports: list[int]) -> dict[str, object]:
    if work == "unit":
        cost, used = units.measure(contestant, count)  # type: ignore[arg-type]
        return {"cost": cost, "memory": used}
    return {"time": workloads.measure(work, contestant, count, ports)}  # type: ignore[arg-type]


def _outcome(specification: str) -> dict[str, object]:
    wanted = json.loads(specification)
    files = raise_open_files()
    if wanted["work"] == "io" and files < wanted["units"] + _SPARE_FILES:
        return {"reason": f"so many connections need more open files than the {files:,} allowed"}
    try:
        return _measure(wanted["work"], wanted["contestant"], wanted["units"], wanted["ports"])
    except (OSError, RuntimeError, MemoryError, memory.CannotMeasure) as error:
        return {"reason": f"the system refused: {error}"}


def main() -> None:
    """Print what ``sys.argv[1]`` asks to be measured."""
    print(json.dumps(_outcome(sys.argv[1])))
