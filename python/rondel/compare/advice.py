"""Which contestant to use for what, derived from the numbers of one run and nothing else."""

from __future__ import annotations

from rondel.compare import text
from rondel.compare.contest import CONTESTANTS, NAMES, WORKS, Cell, Contestant, Results, Work

_LEVEL = 1.15
"""Medians closer than this factor are called level: runs differ as much by themselves."""

_LEVEL_OF_FEW = 1.5
"""The same where fewer than three samples stand behind a median."""


def derive(results: Results) -> list[tuple[str, str]]:
    """Return a title and a sentence or two for each kind of work, and for what units take."""
    advice = []
    for work in WORKS:
        if work.measured_as != "unit":
            sentence = _for_work(results, work)
            if sentence:
                advice.append((work.title, sentence))
    sentence = _for_units(results)
    if sentence:
        advice.append(("One unit", sentence))
    return advice


def _measured(results: Results, work: Work, size: int) -> list[Cell]:
    """Return the cells of a row that have numbers, quickest first."""
    cells = [cell for cell in results.row(work, size) if cell.median is not None]
    return sorted(cells, key=lambda cell: cell.median or 0.0)


def _for_work(results: Results, work: Work) -> str:
    sizes = [size for size in results.sizes if len(_measured(results, work, size)) > 1]
    if not sizes:
        return ""
    size = sizes[-1]
    best, *others = _measured(results, work, size)
    level = [cell for cell in others if not _is_slower(cell, best)]
    slower = [cell for cell in others if cell not in level]
    sentence = _names([best.contestant, *(cell.contestant for cell in level)])
    if level:
        sentence += ", which are level"
    sentence += f". {text.units(size)} took {text.quantity(best.median or 0.0, 's')}"
    if slower:
        parts = [f"{NAMES[cell.contestant]} {text.times(_ratio(cell, best))}" for cell in slower]
        sentence += "; " + ", ".join(parts) + " as long"
    missing = [cell.contestant for cell in results.row(work, size) if cell.median is None]
    if missing:
        sentence += f"; no number for {_names(missing)}"
    return sentence + _elsewhere(results, work, best.contestant, sizes[:-1]) + "."


def _elsewhere(results: Results, work: Work, best: Contestant, sizes: list[int]) -> str:
    """Say up to which smaller size the best one is clearly beaten, and by whom."""
    for size in reversed(sizes):
        winner, *others = _measured(results, work, size)
        for cell in others:
            if cell.contestant == best and _is_slower(cell, winner):
                return (
                    f". Not for {text.units(size)}: {text.quantity(cell.median or 0.0, 's')}, "
                    f"{NAMES[winner.contestant]} {text.quantity(winner.median or 0.0, 's')}"
                )
    return ""


def _for_units(results: Results) -> str:
    """Say what a unit takes, at the largest size that each contestant has numbers for."""
    at: dict[int, list[str]] = {}
    for contestant in CONTESTANTS:
        for size in reversed(results.sizes):
            cost = results.median("cost", size, contestant)
            memory = results.median("memory", size, contestant)
            if cost is not None and memory is not None:
                taken = f"{text.quantity(cost, 's')} and {text.quantity(memory, 'bytes')}"
                at.setdefault(size, []).append(f"{NAMES[contestant]} {taken}")
                break
    return " ".join(f"With {size:,} alive: {', '.join(parts)}." for size, parts in at.items())


def _is_slower(cell: Cell, best: Cell) -> bool:
    few = min(len(cell.samples), len(best.samples)) < 3
    overlap = min(cell.samples) <= max(best.samples) and not few
    return not overlap and _ratio(cell, best) >= (_LEVEL_OF_FEW if few else _LEVEL)


def _ratio(cell: Cell, best: Cell) -> float:
    return (cell.median or 0.0) / (best.median or 1.0)


def _names(contestants: list[Contestant]) -> str:
    names = [NAMES[contestant] for contestant in contestants]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
