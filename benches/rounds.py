"""Runs a contest: in each round every contestant does every workload, in turns."""

from __future__ import annotations

import datetime
import os
import platform
import time
from collections.abc import Sequence
from typing import TextIO

from rondel.compare.progress import Progress

from benches.contest import Results
from benches.contestants import Contestant
from benches.layouts import Layout
from benches.materials import Materials
from benches.measure import Effort, introduce, sample
from benches.processes import Failed
from benches.workload import Workload


def run(
    measurements: Sequence[tuple[Workload, Layout]],
    contestants: Sequence[Contestant],
    rounds: int,
    effort: Effort,
    stream: TextIO,
) -> Results:
    """Measure all of it ``rounds`` times, or until Ctrl-C; progress goes to ``stream``.

    A contestant that fails a workload once has no number there, and is not asked again.
    """
    begin = time.monotonic()
    results = Results(measurements, contestants)
    try:
        _run(results, rounds, effort, stream)
    except KeyboardInterrupt:
        results.environment["interrupted"] = True
    results.environment.update(_environment(rounds, time.monotonic() - begin))
    return results


def _run(results: Results, rounds: int, effort: Effort, stream: TextIO) -> None:
    contestants, measurements = results.contestants, results.measurements
    samples = sum(min(workload.samples, effort.samples) for workload, _ in measurements)
    steps = (rounds * samples + 1) * len(contestants)
    with Materials() as materials, Progress(steps, stream) as progress:
        for contestant in contestants:
            progress.step("contestants", contestant.name)
            _introduce(contestant, results)
        for number in range(rounds):
            # Who begins changes, so that nobody always finds the machine as the same other left it.
            first = number % max(1, len(contestants))
            turns = [*contestants[first:], *contestants[:first]]
            for workload, layout in measurements:
                heading = f"round {number + 1} of {rounds}: {workload.title}, {layout.name}"
                for contestant in turns * min(workload.samples, effort.samples):
                    progress.step(heading, contestant.name)
                    _measure(workload, layout, contestant, effort, materials, results)


def _introduce(contestant: Contestant, results: Results) -> None:
    try:
        results.loops[contestant.name] = introduce(contestant)
    except Failed as failure:
        reason = str(failure)
        module = contestant.factory.partition(":")[0]
        if reason == f"ModuleNotFoundError: No module named '{module}'":
            reason = "not installed"
        results.loops[contestant.name] = {"reason": reason}
        for cell in results.cells.values():
            if cell.contestant == contestant:
                cell.reason = reason


def _measure(
    workload: Workload,
    layout: Layout,
    contestant: Contestant,
    effort: Effort,
    materials: Materials,
    results: Results,
) -> None:
    cells = results.of(workload, layout, contestant)
    if not cells or any(cell.reason for cell in cells):
        return
    try:
        found = sample(workload, layout, contestant, effort, materials)
    except Failed as failure:
        for cell in cells:
            cell.reason = str(failure)
        return
    for cell in cells:
        cell.samples.append(found[cell.row.metric.key])


def _environment(rounds: int, elapsed: float) -> dict[str, str | int | float]:
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "kernel": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "rounds": rounds,
        "elapsed": round(elapsed, 1),
        "finished": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
