"""How each kind of workload is measured, once: one sample of each of its metrics."""

from __future__ import annotations

from typing import NamedTuple

from benches.contestants import Contestant
from benches.layouts import Layout, alone
from benches.processes import ask
from benches.workload import InProcess, Workload


class Effort(NamedTuple):
    """How long one measurement is made. ``repeats`` are those of work inside one process."""

    repeats: int


FULL = Effort(repeats=5)
QUICK = Effort(repeats=3)


def introduce(contestant: Contestant) -> dict[str, str]:
    """Return which loop of which version a contestant is. Raises :exc:`Failed`."""
    answered: dict[str, str] = ask(contestant, {"run": None, "cpus": list(alone().loop)})
    return answered


def sample(
    workload: Workload, layout: Layout, contestant: Contestant, effort: Effort
) -> dict[str, float]:
    """Return one number for each metric of a workload. Raises :exc:`Failed`."""
    match workload:
        case InProcess():
            return _in_process(workload, layout, contestant, effort)
    raise TypeError(f"no way to measure {workload!r}")


def _in_process(
    workload: InProcess, layout: Layout, contestant: Contestant, effort: Effort
) -> dict[str, float]:
    body = workload.body
    return ask(
        contestant,
        {
            "run": f"{body.__module__}:{body.__qualname__}",
            "count": workload.count,
            "arguments": dict(workload.arguments),
            "repeats": effort.repeats,
            "cpus": sorted({*layout.loop, *layout.other}),
        },
    )
