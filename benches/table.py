"""The results as plain text: one line a row, one column a contestant, footnotes for what failed."""

from __future__ import annotations

import textwrap

from rondel.compare import text

from benches import goals
from benches.contest import Cell, Results, Row, times
from benches.contestants import BASELINES
from benches.workload import GROUPS, Unit

_WIDTH = 100
_MARKS = {True: "reached", False: "MISSED", None: "not measured"}


def render(results: Results) -> str:
    """Return the table, with a newline at the end."""
    notes: list[str] = []
    present = [contestant.name for contestant in results.present]
    bases = [base for base in BASELINES if base in present]
    header = ["", ""]
    for name in present:
        header += [name, "times" if _bases(name, bases) else ""]
    body: list[list[str]] = []
    for row in results.rows:
        body.append([row.title, row.layout.name])
        for name in present:
            cell = results.cell(row, name)
            body[-1] += [cell_text(cell, notes), ratios(results, row, name, bases)]
    widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]
    lines = [title(results), "", _line(header, widths)]
    group = ""
    for row, cells in zip(results.rows, body, strict=True):
        if row.group != group:
            group = row.group
            lines += ["", GROUPS[group]]
        lines.append(_line(cells, widths))
    lines += ["", "Median (lowest-highest) of the rounds, and how many times as good as"]
    lines += [f"{' / '.join(bases)}, by medians: above 1 is better, whatever the unit."]
    for number, note in enumerate(notes, 1):
        label = f"[{number}] "
        lines += textwrap.wrap(note, _WIDTH, initial_indent=label, subsequent_indent=" " * 4)
    lines += absent(results)
    lines += _goals(results)
    return "\n".join(lines) + "\n"


def title(results: Results) -> str:
    """Return where and when the results were measured, in one line."""
    environment = results.environment
    versions = ", ".join(
        f"{name} {said['version']}"
        for name, said in results.loops.items()
        if said.get("version") and name != "stdlib"
    )
    return (
        f"{environment['python']}, {environment['kernel']} on {environment['machine']}, "
        f"{environment['cpus']} CPUs, {environment['rounds']} rounds, "
        f"{environment['finished']}: {versions}"
    )


def absent(results: Results) -> list[str]:
    """Return one line for each contestant that took no part."""
    return [
        f"{name} took no part: {said['reason']}"
        for name, said in results.loops.items()
        if "reason" in said
    ]


def quantity(value: float, unit: Unit) -> str:
    """Return a number and its unit, as "12.3 µs", "1.23 MiB", "45.6 k/s" or "1.90 x"."""
    if unit == "x":
        return f"{text.number(value)} x"
    if unit != "/s":
        return text.quantity(value, unit)
    for name, factor in (("M/s", 1e6), ("k/s", 1e3)):
        if value * 1.0005 >= factor:
            return f"{text.number(value / factor)} {name}"
    return f"{text.number(value)} /s"


def cell_text(cell: Cell | None, notes: list[str]) -> str:
    """Return the median and the spread of a cell; where there is none, a mark in ``notes``."""
    if cell is None:
        return ""
    if cell.median is None:
        note = f"{cell.contestant.name}: {cell.reason or 'not measured'}"
        if note not in notes:
            notes.append(note)
        return f"— [{notes.index(note) + 1}]"
    unit = cell.row.metric.unit
    shown = quantity(cell.median, unit)
    if len(cell.samples) > 1:
        low, high = quantity(min(cell.samples), unit), quantity(max(cell.samples), unit)
        name = shown.partition(" ")[2]
        low, high = (end.removesuffix(f" {name}") for end in (low, high))
        shown += f" ({low}-{high})"
    return shown


def ratios(results: Results, row: Row, name: str, bases: list[str]) -> str:
    """Return how many times as good as each baseline a contestant is, as "2.41/1.23"."""
    shown = []
    for base in _bases(name, bases):
        ratio = results.ratio(row, name, base)
        shown.append("—" if ratio is None else times(ratio))
    return "/".join(shown) if any(part != "—" for part in shown) else ""


def _bases(name: str, bases: list[str]) -> list[str]:
    return bases[: bases.index(name)] if name in bases else bases


def _line(cells: list[str], widths: list[int]) -> str:
    first = f"  {cells[0]:<{widths[0]}}  {cells[1]:<{widths[1]}}"
    rest = (f"{cell:>{width}}" for cell, width in zip(cells[2:], widths[2:], strict=True))
    return "  ".join([first, *rest]).rstrip()


def _goals(results: Results) -> list[str]:
    found = goals.outcomes(results)
    if not found:
        return []
    lines = ["", "Goals"]
    rows = [
        (outcome.row.title, outcome.row.layout.name, outcome.contestant, outcome.goal)
        for outcome in found
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for outcome, row in zip(found, rows, strict=True):
        cells = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        lines.append(f"  {cells}  {outcome.value:>8}  {_MARKS[outcome.reached]}")
    return lines
