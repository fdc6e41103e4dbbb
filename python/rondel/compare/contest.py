"""What is compared: the contestants, the kinds of work, and the numbers that come out."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Literal

Contestant = Literal[
    "rondel", "asyncio", "threads", "processes", "rondel-threads", "rondel-processes"
]
UNITS: tuple[Contestant, ...] = ("rondel", "asyncio", "threads", "processes")
"""Those that can give every unit of work a task, a thread or a process of its own."""
POOLS: tuple[Contestant, ...] = ("rondel-threads", "rondel-processes")
CONTESTANTS = UNITS + POOLS
NAMES: dict[Contestant, str] = {
    "rondel": "asyncio on Rondel",
    "asyncio": "asyncio",
    "threads": "threads",
    "processes": "processes",
    "rondel-threads": "Rondel's threads",
    "rondel-processes": "Rondel's processes",
}

NO_UNITS = "a pool makes calls, and has no threads or processes besides its own"
"""Why Rondel's pools do not take part where every unit has a thread or a process of its own."""

TOO_MANY_INTERPRETERS = (
    "not tried: it starts a fresh interpreter for each worker, never a fork, and so many take far "
    "longer than the calls"
)
"""Why its processes do not take part where up to 100 workers do nothing but wait."""

Measured = Literal["io", "blocking", "cpu", "unit"]
"""What one child process runs; ``unit`` measures cost and memory at once."""
MEASURED: tuple[Measured, ...] = ("io", "blocking", "cpu", "unit")


@dataclass(frozen=True)
class Work:
    """One block of rows: a kind of work, or what one unit takes."""

    key: Literal["io", "blocking", "cpu", "cost", "memory"]
    title: str
    measured_as: Measured
    unit: Literal["s", "bytes"]
    explanation: str
    contestants: tuple[Contestant, ...]


WORKS = (
    Work(
        "io",
        "I/O-bound work",
        "io",
        "s",
        "a unit asks a local server and waits 10 ms for the answer; all at once, each in a task, "
        "a thread or a process of its own",
        UNITS,
    ),
    Work(
        "blocking",
        "Blocking calls",
        "blocking",
        "s",
        "a unit blocks until the server answers, in a pool of at most 100 workers, each with a "
        "connection: asyncio.to_thread, thread pools, a process pool",
        (*UNITS, "rondel-threads"),
    ),
    Work(
        "cpu",
        "CPU-bound work",
        "cpu",
        "s",
        "a unit runs 1,000 rounds of a loop in Python; in tasks, and in pools of a worker per CPU",
        CONTESTANTS,
    ),
    Work(
        "cost",
        "Cost of one unit",
        "unit",
        "s",
        "to create and finish a task, a thread or a process, with so many alive at once",
        UNITS,
    ),
    Work(
        "memory",
        "Memory of one unit",
        "unit",
        "bytes",
        "while it waits, with so many alive at once, as the kernel counts it",
        UNITS,
    ),
)


@dataclass
class Cell:
    """The samples of one contestant at one kind of work and size.

    ``samples`` are seconds or bytes, one a round; where there are none, ``reason`` says why.
    """

    work: Work
    units: int
    contestant: Contestant
    samples: list[float] = field(default_factory=list)
    reason: str | None = None

    @property
    def median(self) -> float | None:
        """The median of the samples, None without samples."""
        return statistics.median(self.samples) if self.samples else None


@dataclass
class Results:
    """All cells of a run, by work, size and contestant, and where and how they were measured."""

    cells: list[Cell]
    environment: dict[str, str | int | float]

    def cell(self, work: Work, units: int, contestant: Contestant) -> Cell:
        """Return the cell of that row and column."""
        for cell in self.cells:
            if (cell.work, cell.units, cell.contestant) == (work, units, contestant):
                return cell
        raise KeyError((work.key, units, contestant))

    def row(self, work: Work, units: int) -> list[Cell]:
        """Return the cells of those who take part in a row, in the order of ``CONTESTANTS``."""
        return [self.cell(work, units, contestant) for contestant in work.contestants]

    def median(self, key: str, units: int, contestant: Contestant) -> float | None:
        """Return the median of a cell, by the key of its work; None if it has none."""
        for cell in self.cells:
            if (cell.work.key, cell.units, cell.contestant) == (key, units, contestant):
                return cell.median
        return None

    @property
    def sizes(self) -> list[int]:
        """The numbers of units, ascending."""
        return sorted({cell.units for cell in self.cells})


def empty(sizes: list[int]) -> list[Cell]:
    """Return a cell without samples for every work, size and contestant."""
    return [
        Cell(work, units, contestant, [], _why_not(work, contestant))
        for work in WORKS
        for units in sizes
        for contestant in CONTESTANTS
    ]


def _why_not(work: Work, contestant: Contestant) -> str | None:
    """Return why a contestant does not take part, None if it does."""
    if contestant in work.contestants:
        return None
    return TOO_MANY_INTERPRETERS if work.measured_as == "blocking" else NO_UNITS
