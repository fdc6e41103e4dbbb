"""What Rondel wants to reach, and whether it has, by the medians of one run."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import NamedTuple

from rondel.compare import text

from benches.contest import Results, Row, times
from benches.contestants import EPOLL, RONDEL, SPINNING, STDLIB, UVLOOP
from benches.workload import SERVER_CPU

PEERS = "every other loop"
"""The best of the others that are loops."""


class Goal(NamedTuple):
    """To be at least ``factor`` times as good as another, in workloads of those names.

    Without another, to take no more than ``most`` of the row's unit, or, where that is how many
    times as fast something is, to be at least ``factor``. Where ``layout`` is given, on that one
    alone.
    """

    workloads: tuple[str, ...]
    against: str
    factor: float = 0.0
    most: float = 0.0
    contestant: str = RONDEL.name
    layout: str = ""


class Outcome(NamedTuple):
    """A goal in one row. ``reached`` is None where something was not measured."""

    row: Row
    contestant: str
    goal: str
    value: str
    reached: bool | None


def _than(against: str, **factors: float) -> tuple[Goal, ...]:
    return tuple(
        Goal((name.replace("_", "-"),), against, factor) for name, factor in factors.items()
    )


_SMALL = tuple(f"echo-{size}-{count}" for size in ("64b", "1kib", "16kib") for count in (64, 512))

GOALS = (
    *_than(
        UVLOOP.name,
        call_soon=6,
        sleep0_1=3,
        sleep0_100=2.5,
        sleep0_10000=2.5,
        create_await=4,
        gather=1.8,
        future_wake_up=4,
        queue=2.5,
        lock=3,
        event=2,
        own_queue=2.5,
        own_lock=3,
        own_event=2,
        timers_fired=5,
        timers_cancelled=8,
        timeout=2.5,
        own_timeout=2.5,
        threadsafe_flood=3,
        threadsafe_ping_pong=2,
        to_thread=1.5,
        to_thread_gathered=3,
        own_thread_pool=1.5,
        stdlib_thread_pool=1.3,
        to_thread_files=2,
        process_pool_gathered=3,
        process_pool=2,
        process_pool_1mib=3,
    ),
    Goal(_SMALL, UVLOOP.name, 1.25),
    Goal(_SMALL, EPOLL.name, 0.95),
    Goal(("echo-1kib-1",), UVLOOP.name, 1.15),
    # Who spins needs a core of its own.
    Goal(("echo-1kib-1",), UVLOOP.name, 1.8, contestant=SPINNING.name, layout="apart"),
    Goal(("threadsafe-ping-pong",), UVLOOP.name, 4, contestant=SPINNING.name, layout="apart"),
    Goal(
        ("to-thread", "own-thread-pool"),
        UVLOOP.name,
        4,
        contestant=SPINNING.name,
        layout="apart",
    ),
    Goal(("echo-128kib-*",), PEERS, 0.97),
    *_than(UVLOOP.name, aiohttp_server=1.4, uvicorn=2, churn=1.3),
    *_than(STDLIB.name, sleeping_task=1),
    Goal(("count-lines",), "", 1.8, layout="apart"),
    Goal(("idle-connections",), "", most=30e6),
    Goal(("startup",), STDLIB.name, 1 / 1.05),
)

NEVER_SLOWER = Goal(("*",), STDLIB.name, 0.97)
"""Holds for every workload; what is less than 3 % is not told from chance."""


def outcomes(results: Results) -> list[Outcome]:
    """Return how far each goal is reached, and every row in which the last one is not."""
    found = [
        _outcome(results, row, goal)
        for goal in GOALS
        for row in results.rows
        if any(fnmatchcase(row.workload.name, pattern) for pattern in goal.workloads)
        and results.cell(row, goal.contestant) is not None
        and row.metric != SERVER_CPU
        and goal.layout in ("", row.layout.name)
    ]
    slower = (_outcome(results, row, NEVER_SLOWER) for row in results.rows)
    return found + [outcome for outcome in slower if outcome.reached is False]


def _outcome(results: Results, row: Row, goal: Goal) -> Outcome:
    cell = results.cell(row, goal.contestant)
    median = cell.median if cell else None
    if not goal.against and goal.factor:
        shown = "—" if median is None else f"{times(median)}x"
        reached = None if median is None else median >= goal.factor
        return Outcome(row, goal.contestant, f"{goal.factor:.2f}x one process", shown, reached)
    if not goal.against:
        wanted = f"at most {_megabytes(goal.most)}"
        reached = None if median is None else median <= goal.most
        return Outcome(row, goal.contestant, wanted, _megabytes(median), reached)
    ratio = _ratio(results, row, goal)
    wanted = f"{goal.factor:.2f}x {goal.against}"
    shown = "—" if ratio is None else f"{times(ratio)}x"
    return Outcome(
        row, goal.contestant, wanted, shown, None if ratio is None else ratio >= goal.factor
    )


def _ratio(results: Results, row: Row, goal: Goal) -> float | None:
    if goal.against != PEERS:
        return results.ratio(row, goal.contestant, goal.against)
    ratios = [
        results.ratio(row, goal.contestant, other.name)
        for other in results.contestants
        if other.factory and other.name not in (RONDEL.name, SPINNING.name)
    ]
    return min((ratio for ratio in ratios if ratio is not None), default=None)


def _megabytes(value: float | None) -> str:
    return "—" if value is None else f"{text.number(value / 1e6)} MB"
