"""The results as plain text: a table, footnotes, and the advice.

A contestant has a column; a row has its medians and, below, the lowest and the highest sample.
"""

from __future__ import annotations

import textwrap

from rondel.compare import advice, text
from rondel.compare.contest import CONTESTANTS, NAMES, WORKS, Cell, Results

_GAP = "  "
_WIDTH = 100


def render(results: Results) -> str:
    """Return the table, with a newline at the end."""
    notes: list[str] = []
    lines = [_title(results), ""]
    columns = [_heading(NAMES[contestant]) for contestant in CONTESTANTS]
    labels = [("", ""), ("", "units")]
    for work in WORKS:
        for size in results.sizes:
            cells = [results.cell(work, size, contestant) for contestant in CONTESTANTS]
            labels.append((work.title if size == results.sizes[0] else "", f"{size:,}"))
            for column, cell in zip(columns, cells, strict=True):
                column.append(_median(cell, notes))
            if any(len(cell.samples) > 1 for cell in cells):
                labels.append(("", ""))
                for column, cell in zip(columns, cells, strict=True):
                    column.append(_range(cell))
    titles = max(len(title) for title, _ in labels)
    sizes = max(len(units) for _, units in labels)
    widths = [max(map(len, column)) for column in columns]
    for number, (title, units) in enumerate(labels):
        if title:
            lines.append("")
        row = (f"{column[number]:>{width}}" for column, width in zip(columns, widths, strict=True))
        lines.append(f"{title:<{titles}}  {units:>{sizes}}{_GAP}{_GAP.join(row)}".rstrip())
    lines += ["", "Median and, below it, lowest to highest of the rounds. A row is:"]
    for work in WORKS:
        lines += _wrapped(f"{work.title + ':':<{titles + 1}} ", work.explanation)
    for number, note in enumerate(notes, 1):
        lines += _wrapped(f"[{number}] ", note)
    lines += ["", "Which one to use, by the numbers above"]
    for name, sentence in advice.derive(results):
        lines += _wrapped(f"  {name + ':':<{titles + 1}} ", sentence)
    return "\n".join(lines) + "\n"


def _title(results: Results) -> str:
    environment = results.environment
    return (
        f"asyncio vs threads vs processes: {environment['python']}, rondel {environment['rondel']} "
        f"({environment['driver']}), {environment['kernel']}, {environment['cpus']} CPUs"
    )


def _heading(name: str) -> list[str]:
    """Return a contestant's name in two lines."""
    first, _, last = name.rpartition(" ")
    return [first, last]


def _median(cell: Cell, notes: list[str]) -> str:
    mark = ""
    if cell.reason is not None:
        if cell.reason not in notes:
            notes.append(cell.reason)
        mark = f" [{notes.index(cell.reason) + 1}]"
    if cell.median is None:
        return f"—{mark}"
    return text.quantity(cell.median, cell.work.unit) + mark


def _range(cell: Cell) -> str:
    """Return the lowest and the highest sample, in the unit of the median."""
    if cell.median is None or len(cell.samples) < 2:
        return ""
    _, factor = text.scale(cell.median * 1.0005, cell.work.unit)
    low, high = (text.number(end / factor) for end in (min(cell.samples), max(cell.samples)))
    return f"{low}-{high}"


def _wrapped(label: str, sentence: str) -> list[str]:
    return textwrap.wrap(sentence, _WIDTH, initial_indent=label, subsequent_indent=" " * len(label))
