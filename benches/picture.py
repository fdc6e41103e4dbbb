"""The results as pictures: one SVG for each group of workloads and layout, with a bar a contestant.

In each row the longest bar is the best contestant's, and the others' are as long as they are good
in comparison: half as long is half as fast, or twice the memory. Numbers stand beside the bars.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from rondel.compare import svg

from benches import table
from benches.contest import Cell, Results, Row, times
from benches.contestants import UVLOOP, Contestant
from benches.workload import GROUPS, MORE_IS_BETTER, InProcess

_WIDTH = 960
_MARGIN = 32
_LEFT = 300
_LONGEST = 430
_BAR = 13
_GAP = 14
_HEADER = 116
_FOOTER = 40

# Told apart by people who see colours differently, on white and on near-black (Okabe and Ito's).
_COLOURS = {
    "rondel": ("#d55e00", "#f0772b"),
    "stdlib": ("#0072b2", "#4aa3df"),
    "uvloop": ("#009e73", "#2cc295"),
    "rloop": ("#b0629a", "#d68cc0"),
    "blazio": ("#a5820c", "#d9b13a"),
    "zuvloop": ("#5b5bb5", "#9090e0"),
    "rsloop": ("#3d8f9c", "#6cc4d2"),
    "epoll": ("#59636e", "#9198a1"),
    "tokio": ("#8c959f", "#6e7681"),
    "another": ("#7a4f2a", "#b88a62"),
}


def render_all(results: Results) -> dict[str, str]:
    """Return the SVG documents, by the names of their files without ``.svg``."""
    documents = {}
    for group in GROUPS:
        rows = [row for row in results.rows if row.group == group]
        names = dict.fromkeys(row.layout.name for row in rows)
        if len(names) > 1 and "alone" not in names:
            for name in names:
                shown = [row for row in rows if row.layout.name == name]
                documents[f"{group}-{name}"] = _render(results, shown)
        elif rows:
            documents[group] = _render(results, rows)
    return documents


def _render(results: Results, rows: list[Row]) -> str:
    present = [
        contestant
        for contestant in results.present
        if any(results.cell(row, contestant.name) for row in rows)
    ]
    heights = [_height(results, row) for row in rows]
    height = _HEADER + sum(heights) + _FOOTER
    name = GROUPS[rows[0].group]
    layouts = " / ".join(dict.fromkeys(row.layout.title for row in rows))
    environment = results.environment
    where = f"{environment['python']} · {environment['kernel']} · {environment['cpus']} CPUs"
    lines = [
        *svg.head(_WIDTH, height, name, _description(results, rows), _COLOURS),
        svg.text(_MARGIN, 44, "title", name),
        svg.text(_MARGIN, 66, "quiet", f"{where} · {layouts}"),
        *_legend(present),
    ]
    top = _HEADER
    for row, taken in zip(rows, heights, strict=True):
        lines += _row(results, row, top)
        top += taken
    note = (
        f"Longer is better: the best of a row is the longest. Median of {environment['rounds']} "
        f"rounds, and times as good as uvloop. {environment['finished']}"
    )
    lines += [svg.text(_MARGIN, height - 18, "quiet", note), "</svg>"]
    return "\n".join(lines) + "\n"


def _cells(results: Results, row: Row) -> list[Cell]:
    present = {contestant.name for contestant in results.present}
    return [cell for cell in results.of_row(row) if cell.contestant.name in present]


def _height(results: Results, row: Row) -> int:
    return _BAR * len(_cells(results, row)) + _GAP


def _description(results: Results, rows: list[Row]) -> str:
    sentences = []
    for row in rows:
        parts = [
            f"{cell.contestant.name} {table.quantity(cell.median, row.metric.unit)}"
            for cell in results.of_row(row)
            if cell.median is not None
        ]
        sentences.append(f"{row.title}: {', '.join(parts) or 'none'}.")
    return " ".join(sentences)


def _legend(present: list[Contestant]) -> Iterator[str]:
    left = float(_MARGIN)
    for contestant in present:
        style = _style(contestant)
        yield f'<rect class="{style}" x="{left:g}" y="82" width="12" height="12" rx="2"/>'
        yield svg.text(left + 18, 92.5, "quiet", contestant.name)
        left += 44 + 6.4 * len(contestant.name)


def _style(contestant: Contestant) -> str:
    return contestant.name if contestant.name in _COLOURS else "another"


def _row(results: Results, row: Row, top: float) -> Iterator[str]:
    cells = _cells(results, row)
    middle = top + _BAR * len(cells) / 2 + 4
    several = row.layout.name != "alone" and isinstance(row.workload, InProcess)
    title = f"{row.title}, {row.layout.name}" if several else row.title
    yield svg.text(_LEFT - 12, middle, "tick", title)
    goodness = {cell.contestant.name: _goodness(cell, cell.median) for cell in cells}
    best = max(filter(None, goodness.values()), default=1.0)
    for number, cell in enumerate(cells):
        y = top + number * _BAR
        length = (goodness[cell.contestant.name] or 0.0) / best * _LONGEST
        label = _label(results, row, cell)
        yield f"<g><title>{escape(f'{cell.contestant.name}: {label}')}</title>"
        yield (
            f'<rect class="{_style(cell.contestant)}" x="{_LEFT}" y="{y + 1:.1f}" '
            f'width="{length:.1f}" height="{_BAR - 2}" rx="1"/>'
        )
        end = length
        if len(cell.samples) > 1 and cell.median is not None:
            ends = sorted(_goodness(cell, sample) or 0.0 for sample in cell.samples)
            low, high = (min(part / best, 1.1) * _LONGEST for part in (ends[0], ends[-1]))
            yield (
                f'<line class="range" x1="{_LEFT + low:.1f}" x2="{_LEFT + high:.1f}" '
                f'y1="{y + _BAR / 2:.1f}" y2="{y + _BAR / 2:.1f}"/>'
            )
            end = max(end, high)
        yield svg.text(_LEFT + end + 6, y + _BAR - 3, "quiet", label) + "</g>"


def _goodness(cell: Cell, value: float | None) -> float | None:
    if not value:
        return None
    return value if cell.row.metric.unit in MORE_IS_BETTER else 1 / value


def _label(results: Results, row: Row, cell: Cell) -> str:
    if cell.median is None:
        return f"— {cell.reason or ''}"[:60]
    shown = table.quantity(cell.median, row.metric.unit)
    ratio = results.ratio(row, cell.contestant.name, UVLOOP.name)
    if ratio is None or cell.contestant.name == UVLOOP.name:
        return shown
    return f"{shown} · {times(ratio)}x"
