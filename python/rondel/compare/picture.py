"""The results as a picture: an SVG of bar charts, one panel a kind of work, on a log scale.

Bars that differ by a factor of ten thousand fit no other scale. The picture needs nothing besides
itself and follows the reader's choice of a light or a dark page.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from rondel.compare import svg, text
from rondel.compare.contest import CONTESTANTS, NAMES, WORKS, Cell, Contestant, Results, Work

_WIDTH = 960
_MARGIN = 32
_LEFT = 96
"""Where the plots begin, to the right of the names of their gridlines."""

_HEADER = 112
_PANEL = 236
_PLOT_TOP = 62
_PLOT = 128
_FOOTER = 34

# Told apart by people who see colours differently, on white and on near-black (Okabe and Ito's).
_COLOURS: dict[Contestant, tuple[str, str]] = {
    "rondel": ("#d55e00", "#f0772b"),
    "asyncio": ("#0072b2", "#4aa3df"),
    "threads": ("#009e73", "#2cc295"),
    "processes": ("#b0629a", "#d68cc0"),
    "rondel-threads": ("#e69f00", "#f5c04a"),
    "rondel-processes": ("#56b4e9", "#8ccbf2"),
}


def render(results: Results) -> str:
    """Return the SVG document, with a newline at the end."""
    height = _HEADER + _PANEL * len(WORKS) + _FOOTER
    environment = results.environment
    subtitle = (
        f"{environment['python']} · rondel {environment['rondel']} ({environment['driver']}) · "
        f"{environment['kernel']} · {environment['cpus']} CPUs"
    )
    name = "asyncio vs threads vs processes"
    colours = {str(contestant): pair for contestant, pair in _COLOURS.items()}
    lines = [
        *svg.head(_WIDTH, height, name, _description(results), colours),
        svg.text(_MARGIN, 44, "title", name),
        svg.text(_MARGIN, 66, "quiet", subtitle),
        *_legend(),
    ]
    for number, work in enumerate(WORKS):
        lines += _panel(results, work, _HEADER + number * _PANEL)
    note = (
        f"Measured {environment['finished']} by python -m rondel compare: median of the rounds, "
        "line from the lowest to the highest"
    )
    lines += [svg.text(_MARGIN, height - 18, "quiet", note), "</svg>"]
    return "\n".join(lines) + "\n"


def _description(results: Results) -> str:
    sentences = []
    for work in WORKS:
        for size in results.sizes:
            parts = [
                f"{NAMES[cell.contestant]} {text.quantity(cell.median, work.unit)}"
                for cell in results.row(work, size)
                if cell.median is not None
            ]
            sentences.append(f"{work.title}, {text.units(size)}: {', '.join(parts) or 'none'}.")
    return " ".join(sentences)


def _legend() -> Iterator[str]:
    left = float(_MARGIN)
    for contestant in CONTESTANTS:
        yield f'<rect class="{contestant}" x="{left:g}" y="82" width="12" height="12" rx="2"/>'
        yield svg.text(left + 18, 92.5, "quiet", NAMES[contestant])
        left += 44 + 6.4 * len(NAMES[contestant])


class _Scale(NamedTuple):
    """A log scale from the gridline below the lowest number to the one above the highest."""

    base: float
    low: int
    high: int

    @classmethod
    def of(cls, cells: list[Cell]) -> _Scale:
        samples = [sample for cell in cells for sample in cell.samples]
        # A factor of ten, or of 32 for bytes, which gives 1 KiB, 32 KiB, 1 MiB.
        base = 10.0 if cells[0].work.unit == "s" else 32.0
        if not samples:
            return cls(base, 0, 1)
        # The lowest bar is to be seen as one.
        low = math.floor(math.log(min(samples) / 1.5, base) + 1e-9)
        return cls(base, low, max(low + 1, math.ceil(math.log(max(samples), base) - 1e-9)))

    def height(self, value: float) -> float:
        """Return how many units of the picture above the base line a value is."""
        return _PLOT * (math.log(value, self.base) - self.low) / (self.high - self.low)

    def ticks(self) -> Iterator[float]:
        step = max(1, math.ceil((self.high - self.low) / 5))
        for exponent in range(self.low, self.high + 1, step):
            yield self.base**exponent


def _panel(results: Results, work: Work, top: float) -> Iterator[str]:
    sizes = results.sizes
    rows = [results.row(work, size) for size in sizes]
    scale = _Scale.of([cell for row in rows for cell in row])
    kind = "memory" if work.unit == "bytes" else "time"
    label = f'{escape(work.title)}<tspan class="quiet" dx="10">{kind}, log scale; less is better'
    yield f'<text class="panel" x="{_MARGIN}" y="{top + 22:g}">{label}</tspan></text>'
    yield svg.text(_MARGIN, top + 40, "quiet", work.explanation)
    base = top + _PLOT_TOP + _PLOT
    right = _WIDTH - _MARGIN
    for tick in scale.ticks():
        y = base - scale.height(tick)
        style = "base" if tick == scale.base**scale.low else "grid"
        yield f'<line class="{style}" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield svg.text(_LEFT - 10, y + 4, "tick", _tick(tick, work))
    group = (right - _LEFT) / len(sizes)
    for number, (size, row) in enumerate(zip(sizes, rows, strict=True)):
        left = _LEFT + number * group
        yield svg.text(left + group / 2, base + 18, "size", text.units(size))
        step = min(64.0, (group - 16) / len(row))
        first = left + (group - step * len(row)) / 2
        for position, cell in enumerate(row):
            yield from _bar(cell, scale, first + position * step, step, base)


def _bar(cell: Cell, scale: _Scale, left: float, step: float, base: float) -> Iterator[str]:
    centre = left + step / 2
    if cell.median is None:
        title = f"<title>{escape(NAMES[cell.contestant])}: {escape(cell.reason or '')}</title>"
        yield f"<g>{title}{svg.text(centre, base - 6, 'value', '—')}</g>"
        return
    height = scale.height(cell.median)
    top = base - scale.height(max(cell.samples))
    value = text.quantity(cell.median, cell.work.unit)
    yield f"<g><title>{escape(NAMES[cell.contestant])}: {value}</title>"
    yield (
        f'<rect class="{cell.contestant}" x="{left + 4:.1f}" y="{base - height:.1f}" '
        f'width="{step - 8:.1f}" height="{height:.1f}" rx="2"/>'
    )
    if len(cell.samples) > 1:
        bottom = base - scale.height(min(cell.samples))
        yield (
            f'<line class="range" x1="{centre:.1f}" x2="{centre:.1f}" '
            f'y1="{top:.1f}" y2="{bottom:.1f}"/>'
        )
    yield svg.text(centre, top - 5, "value", value) + "</g>"


def _tick(value: float, work: Work) -> str:
    name, factor = text.scale(value * 1.0005, work.unit)
    return f"{round(value / factor):,} {name}"
