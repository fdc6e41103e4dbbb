"""The results as plain text: one line a row, one column a contestant, footnotes, and the advice."""

from __future__ import annotations

import textwrap

from rondel.compare import advice, text
from rondel.compare.contest import CONTESTANTS, NAMES, WORKS, Cell, Results

_GAP = "   "
_WIDTH = 100


def render(results: Results) -> str:
    """Return the table, with a newline at the end."""
    notes: list[str] = []
    lines = [_title(results), ""]
    columns = [[NAMES[contestant]] for contestant in CONTESTANTS]
    labels = [("", "units")]
    for work in WORKS:
        for size in results.sizes:
            labels.append((work.title if size == results.sizes[0] else "", f"{size:,}"))
            for column, cell in zip(columns, results.row(work, size), strict=True):
                column.append(_cell(cell, notes))
    titles = max(len(title) for title, _ in labels)
    sizes = max(len(units) for _, units in labels)
    widths = [max(map(len, column)) for column in columns]
    for number, (title, units) in enumerate(labels):
        if title:
            lines.append("")
        cells = (
            f"{column[number]:>{width}}" for column, width in zip(columns, widths, strict=True)
        )
        lines.append(f"{title:<{titles}}  {units:>{sizes}}{_GAP}{_GAP.join(cells)}")
    lines += ["", "Median, and lowest to highest, of the rounds. A row is:"]
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


def _cell(cell: Cell, notes: list[str]) -> str:
    mark = ""
    if cell.reason is not None:
        if cell.reason not in notes:
            notes.append(cell.reason)
        mark = f" [{notes.index(cell.reason) + 1}]"
    if cell.median is None:
        return f"—{mark}"
    shown = text.quantity(cell.median, cell.work.unit)
    if len(cell.samples) > 1:
        _, factor = text.scale(cell.median * 1.0005, cell.work.unit)
        low, high = (text.number(end / factor) for end in (min(cell.samples), max(cell.samples)))
        shown += f" {f'{low}-{high}':>11}"
    return shown + mark


def _wrapped(label: str, sentence: str) -> list[str]:
    return textwrap.wrap(sentence, _WIDTH, initial_indent=label, subsequent_indent=" " * len(label))
