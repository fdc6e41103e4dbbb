"""The results as a page of the documentation: tables in Markdown, with the pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from benches import goals, table
from benches.contest import Results
from benches.contestants import BASELINES
from benches.workload import GROUPS

_MARKS = {True: "yes", False: "**no**", None: "not measured"}


def render(results: Results, pictures: Iterable[str]) -> str:
    """Return the page; ``pictures`` are the names of SVG files next to it, without ``.svg``."""
    pictures = list(pictures)
    lines = [
        "# Results of the benchmark",
        "",
        "[What the workloads are, and how to read this](../benchmarks.md)",
        "",
        f"Measured on {table.title(results)}.",
        "",
        "A cell is the median of all rounds, from the lowest to the highest, and how many times",
        f"as good as {' and as '.join(BASELINES)} that is: above 1 is better, whatever the unit.",
        "",
        *_absent(results),
        "## Goals",
        "",
        *_goals(results),
    ]
    notes: list[str] = []
    for group, title in GROUPS.items():
        rows = list(_rows(results, group, notes))
        if rows:
            lines += ["", f"## {title}", ""]
            for name in pictures:
                if name in (group, f"{group}-apart", f"{group}-together"):
                    lines += [f"![{title}]({name}.svg)", ""]
            lines += rows
    if notes:
        lines += ["", "## What failed", ""]
        lines += [f"{number}. {note}" for number, note in enumerate(notes, 1)]
    return "\n".join(lines) + "\n"


def _absent(results: Results) -> list[str]:
    lines = [f"- {line}" for line in table.absent(results)]
    return [*lines, ""] if lines else []


def _goals(results: Results) -> Iterator[str]:
    yield "| workload | cores | contestant | goal | reached | |"
    yield "|---|---|---|---|---|---|"
    for outcome in goals.outcomes(results):
        yield _line(
            outcome.row.title,
            outcome.row.layout.name,
            outcome.contestant,
            outcome.goal,
            outcome.value,
            _MARKS[outcome.reached],
        )


def _rows(results: Results, group: str, notes: list[str]) -> Iterator[str]:
    rows = [row for row in results.rows if row.group == group]
    present = [
        contestant.name
        for contestant in results.present
        if any(results.cell(row, contestant.name) for row in rows)
    ]
    bases = [base for base in BASELINES if base in present]
    if not rows:
        return
    yield _line("workload", "cores", *present)
    yield "|---" * (len(present) + 2) + "|"
    for row in rows:
        cells = []
        for name in present:
            shown = table.cell_text(results.cell(row, name), notes)
            ratios = table.ratios(results, row, name, bases)
            cells.append(f"{shown}<br>{ratios.replace('/', ' / ')}" if ratios else shown)
        yield _line(row.title, row.layout.name, *cells)


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
