"""Runs the measurements: rounds of fresh processes, contestants in turns, one server for all."""

from __future__ import annotations

import contextlib
import datetime
import json
import multiprocessing
import platform
import subprocess
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, TextIO

import rondel
from rondel.compare import text
from rondel.compare.contest import (
    MEASURED,
    NAMES,
    WORKS,
    Contestant,
    Measured,
    Results,
    Work,
    empty,
)
from rondel.compare.limits import cpus
from rondel.compare.progress import Progress
from rondel.compare.server import ANSWER_DELAY
from rondel.compare.subprocesses import python, running

_TIME_LIMIT = 60.0
"""Seconds after which one measurement is given up."""

_MOST_PROCESSES = 200
"""More processes at once than this are not tried: they would fill the machine's memory."""


class _Block(NamedTuple):
    """What is measured in turns by all contestants."""

    measured_as: Measured
    units: int
    works: tuple[Work, ...]


def run(sizes: list[int], rounds: int, budget: float, stream: TextIO) -> Results:
    """Measure every kind of work at every size, up to ``rounds`` times.

    Once ``budget`` seconds would be exceeded, nothing is measured again that has been measured
    once. Progress goes to ``stream``. Raises OSError if a process cannot be started.
    """
    start = time.monotonic()
    results = Results(empty(sizes), {})
    blocks = [
        _Block(measured_as, units, tuple(work for work in WORKS if work.measured_as == measured_as))
        for measured_as in MEASURED
        for units in sizes
    ]
    steps = rounds * sum(len(block.works[0].contestants) for block in blocks)
    with _server() as ports, Progress(steps, stream) as progress:
        took = {
            block: _measure_in_turns(block, 1, rounds, ports, results, progress) for block in blocks
        }
        again = [(number, block) for number in range(2, rounds + 1) for block in blocks]
        # The quick ones first: where time is short, few large ones cost many small ones.
        for number, block in sorted(again, key=lambda turn: turn[0] * took[turn[1]]):
            if time.monotonic() - start + took[block] > budget:
                progress.skip(len(block.works[0].contestants))
            else:
                _measure_in_turns(block, number, rounds, ports, results, progress)
    _explain_what_is_missing(results)
    results.environment.update(_environment(rounds, time.monotonic() - start))
    return results


def _measure_in_turns(
    block: _Block,
    number: int,
    rounds: int,
    ports: list[int],
    results: Results,
    progress: Progress,
) -> float:
    """Let every contestant do a block once; return the seconds that all took."""
    begin = time.monotonic()
    heading = f"round {number} of {rounds}: {block.works[0].title}, {text.units(block.units)}"
    # Who begins changes, so that no contestant always has the warmer machine.
    contestants = block.works[0].contestants
    first = (number - 1) % len(contestants)
    for contestant in contestants[first:] + contestants[:first]:
        progress.step(heading, NAMES[contestant])
        _measure(block, contestant, ports, results)
    return time.monotonic() - begin


def _measure(block: _Block, contestant: Contestant, ports: list[int], results: Results) -> None:
    cells = {work.key: results.cell(work, block.units, contestant) for work in block.works}
    if any(cell.reason for cell in cells.values()):
        return
    one_process_each = block.measured_as in ("io", "unit") and contestant == "processes"
    if one_process_each and block.units > _MOST_PROCESSES:
        return
    outcome = run_child(
        {
            "work": block.measured_as,
            "contestant": contestant,
            "units": block.units,
            "ports": ports,
        }
    )
    for key, cell in cells.items():
        value = outcome.get(key if block.measured_as == "unit" else "time")
        if "reason" in outcome:
            cell.reason = str(outcome["reason"])
        elif value is not None:
            cell.samples.append(value)


def run_child(specification: dict[str, object]) -> dict[str, Any]:
    """Run one measurement in a fresh process; return what it found, or the reason why nothing."""
    wanted = json.dumps(specification)
    command = python("rondel.compare.child", wanted)
    with running(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
        try:
            output, errors = child.communicate(timeout=_TIME_LIMIT)
        except subprocess.TimeoutExpired:
            return {"reason": f"not done after {_TIME_LIMIT:.0f} s"}
    if child.returncode != 0:
        last = (errors.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
        return {"reason": f"the measurement failed: {last}"}
    outcome: dict[str, Any] = json.loads(output)
    return outcome


@contextlib.contextmanager
def _server() -> Iterator[list[int]]:
    """Run the server and give its ports; it ends with the block, or with this process."""
    with running(python("rondel.compare.server"), stdin=subprocess.PIPE, stderr=None) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        if not line:
            raise ChildProcessError("the local server does not run")
        yield json.loads(line)


def _explain_what_is_missing(results: Results) -> None:
    for cell in results.cells:
        if cell.samples or cell.reason is not None:
            continue
        if cell.contestant == "processes" and cell.units > _MOST_PROCESSES:
            cell.reason = why_not_so_many(results, cell.units)
        else:
            cell.reason = "too little to be told from what the process touches besides"


def why_not_so_many(results: Results, units: int) -> str:
    """Return the reason not to start so many processes, reckoned from what fewer took."""
    reason = f"not tried: {units:,} processes at once"
    for size in reversed(results.sizes):
        memory = results.median("memory", size, "processes")
        cost = results.median("cost", size, "processes")
        if memory is not None and cost is not None:
            return (
                f"{reason} would take about {text.quantity(memory * units, 'bytes')} and "
                f"{text.quantity(cost * units, 's')} to start, by what {size:,} took"
            )
    return f"{reason} would fill the machine"


def _environment(rounds: int, elapsed: float) -> dict[str, str | int | float]:
    report = rondel.driver_report()
    return {
        "rondel": rondel.__version__,
        "driver": report["driver"],
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "kernel": report["kernel"],
        "machine": platform.machine(),
        "cpus": cpus(),
        "start_method": multiprocessing.get_start_method(),
        "answer_delay": ANSWER_DELAY,
        "rounds": rounds,
        "elapsed": round(elapsed, 3),
        "finished": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
