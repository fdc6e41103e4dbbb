"""The results as plain text: one line a row, one column a contestant, footnotes for what failed."""

from __future__ import annotations

import textwrap

from rondel.compare import text

from benches.contest import Cell, Results, Row
from benches.contestants import BASELINES
from benches.workload import Unit

_WIDTH = 160


def render(results: Results) -> str:
    """Return the table, with a newline at the end."""
    notes: list[str] = []
    present = [contestant.name for contestant in results.contestants]
    body: list[list[str]] = []
    for row in results.rows:
        body.append([row.title, row.layout.name])
        for name in present:
            body[-1] += [_quantity(results.cell(row, name), notes), _ratios(results, row, name)]
    header = ["", ""]
    for name in present:
        header += [name, _against(name, present)]
    widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]
    lines = [title(results), "", _line(header, widths)]
    group = ""
    for row, cells in zip(results.rows, body, strict=True):
        if row.workload.group != group:
            group = row.workload.group
            lines += ["", group.capitalize()]
        lines.append(_line(cells, widths))
    lines += ["", *explanation()]
    for number, note in enumerate(notes, 1):
        label = f"[{number}] "
        lines += textwrap.wrap(note, _WIDTH, initial_indent=label, subsequent_indent=" " * 4)
    return "\n".join(lines) + "\n"


def title(results: Results) -> str:
    """Return where and when the results were measured, in one line."""
    environment = results.environment
    versions = ", ".join(
        f"{name} {said['version']}".strip()
        for name, said in results.loops.items()
        if "version" in said
    )
    return (
        f"Event loops side by side: {environment['python']}, {environment['kernel']}, "
        f"{environment['cpus']} CPUs, {environment['rounds']} rounds; {versions}"
    )


def explanation() -> list[str]:
    """Return the lines that say how to read the table."""
    baselines = " and as ".join(BASELINES)
    return [
        "Median, and lowest to highest, of the rounds; then how many times as good as",
        f"{baselines}, by medians: above 1 is better.",
    ]


def quantity(value: float, unit: Unit) -> str:
    """Return a number and its unit, as "12.3 µs", "1.23 MiB" or "45.6 k/s"."""
    if unit != "/s":
        return text.quantity(value, unit)
    for name, factor in (("M/s", 1e6), ("k/s", 1e3)):
        if value * 1.0005 >= factor:
            return f"{text.number(value / factor)} {name}"
    return f"{text.number(value)} /s"


def _line(cells: list[str], widths: list[int]) -> str:
    first = f"  {cells[0]:<{widths[0]}}  {cells[1]:<{widths[1]}}"
    rest = (f"{cell:>{width}}" for cell, width in zip(cells[2:], widths[2:], strict=True))
    return "  ".join([first, *rest]).rstrip()


def _against(name: str, present: list[str]) -> str:
    return "/".join("x" for base in BASELINES if base in present) if name not in BASELINES else ""


def _ratios(results: Results, row: Row, name: str) -> str:
    shown = []
    for base in BASELINES:
        if base == name:
            break
        if results.cell(row, base) is not None:
            ratio = results.ratio(row, name, base)
            shown.append("—" if ratio is None else f"{ratio:.2f}")
    return "/".join(shown) if any(part != "—" for part in shown) else ""


def _quantity(cell: Cell | None, notes: list[str]) -> str:
    if cell is None:
        return ""
    if cell.median is None:
        reason = cell.reason or "not measured"
        note = f"{cell.contestant.name}: {reason}"
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
