"""The numbers that come out: samples by row and contestant, their medians and ratios."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from benches.contestants import Contestant
from benches.layouts import Layout
from benches.workload import GROUPS, MORE_IS_BETTER, Metric, Workload


class Row(NamedTuple):
    """One line of the table: one number of one workload on one layout."""

    workload: Workload
    layout: Layout
    metric: Metric

    @property
    def title(self) -> str:
        """The workload's title, and the metric's where it has one."""
        return f"{self.workload.title} {self.metric.title}".strip()

    @property
    def group(self) -> str:
        """The group of the number."""
        return self.workload.group + self.metric.group


@dataclass
class Cell:
    """The samples of one contestant in one row, in order; without any, ``reason`` says why."""

    row: Row
    contestant: Contestant
    samples: list[float] = field(default_factory=list)
    reason: str | None = None

    @property
    def median(self) -> float | None:
        """The median of the samples; None if there are none, or if a round failed."""
        return statistics.median(self.samples) if self.samples and not self.reason else None


def times(ratio: float) -> str:
    """Return a ratio as "0.98" or "12.3"."""
    return f"{ratio:.2f}" if ratio < 9.995 else f"{ratio:.1f}"


class Results:
    """All cells of a run, and where and how they were measured."""

    def __init__(
        self,
        measurements: Sequence[tuple[Workload, Layout]],
        contestants: Sequence[Contestant],
    ) -> None:
        self.measurements = tuple(measurements)
        self.contestants = tuple(contestants)
        rows = [
            Row(workload, layout, metric)
            for workload, layout in measurements
            for metric in workload.metrics
        ]
        self.rows = sorted(rows, key=lambda row: list(GROUPS).index(row.group))
        self.cells = {
            (row, contestant.name): Cell(row, contestant)
            for row in self.rows
            for contestant in contestants
            if contestant.does(row.workload.name)
        }
        self.loops: dict[str, dict[str, str]] = {}
        """What each contestant said of itself, or the reason why it takes no part."""
        self.environment: dict[str, str | int | float] = {}

    def cell(self, row: Row, contestant: str) -> Cell | None:
        """Return the cell of that row and column, None if that contestant was not asked."""
        return self.cells.get((row, contestant))

    def of_row(self, row: Row) -> list[Cell]:
        """Return the cells of one row, in the order of the contestants."""
        cells = (self.cell(row, contestant.name) for contestant in self.contestants)
        return [cell for cell in cells if cell is not None]

    @property
    def present(self) -> list[Contestant]:
        """Those who took part."""
        return [
            contestant
            for contestant in self.contestants
            if "reason" not in self.loops.get(contestant.name, {})
        ]

    def of(self, workload: Workload, layout: Layout, contestant: Contestant) -> list[Cell]:
        """Return the cells that one measurement fills, one for each of its metrics, if any."""
        cells = (
            self.cell(Row(workload, layout, metric), contestant.name) for metric in workload.metrics
        )
        return [cell for cell in cells if cell is not None]

    def ratio(self, row: Row, contestant: str, baseline: str) -> float | None:
        """Return how many times as good as the baseline a contestant is, by medians.

        Above 1 is better, whatever the unit. None if one of the two has no number.
        """
        ours, theirs = self.cell(row, contestant), self.cell(row, baseline)
        if ours is None or theirs is None or not ours.median or not theirs.median:
            return None
        quotient = theirs.median / ours.median
        return 1 / quotient if row.metric.unit in MORE_IS_BETTER else quotient
