"""How each kind of workload is measured, once: one sample of each of its metrics."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from rondel.compare import memory
from rondel.compare.subprocesses import environment

from benches.contestants import Contestant
from benches.layouts import Layout, alone
from benches.materials import Materials
from benches.processes import Failed, child, finish, program, serving
from benches.workload import Idle, InProcess, Served, Startup, Workload, name_of


class Effort(NamedTuple):
    """How long one measurement is made: repetitions in a process, seconds of load, samples a round.

    Work is repeated at least ``repeats`` times and for ``repeating`` seconds. ``samples`` are as
    many as a round takes at most, whatever the workload says.
    """

    repeats: int
    repeating: float
    warm_up: float
    duration: float
    samples: int


FULL = Effort(repeats=5, repeating=0.5, warm_up=0.2, duration=0.8, samples=3)
QUICK = Effort(repeats=3, repeating=0.0, warm_up=0.1, duration=0.25, samples=1)


def introduce(contestant: Contestant) -> dict[str, str]:
    """Return which loop of which version a contestant is. Raises :exc:`Failed`."""
    if contestant.server:
        program(contestant.server[0])
        return {"loop": " ".join(contestant.server), "version": ""}
    return finish(child(contestant, {"run": None, "cpus": list(alone().loop)}))


def sample(
    workload: Workload,
    layout: Layout,
    contestant: Contestant,
    effort: Effort,
    materials: Materials,
) -> Mapping[str, float]:
    """Return one number for each metric of a workload. Raises :exc:`Failed`."""
    match workload:
        case InProcess(server=()):
            return _in_process(workload, layout, contestant, effort, {})
        case InProcess():
            client = program("rondel-load", *workload.server, "--cpu", str(layout.other[0]))
            with serving(client) as server:
                port = int(server.said["address"].rpartition(":")[2])
                return _in_process(workload, layout, contestant, effort, {"port": port})
        case Served():
            return _served(workload, layout, contestant, effort, materials)
        case Idle():
            return _idle(workload, layout, contestant)
        case Startup():
            return _startup(workload, layout, contestant)
    raise TypeError(f"no way to measure {workload!r}")


def _in_process(
    workload: InProcess,
    layout: Layout,
    contestant: Contestant,
    effort: Effort,
    arguments: Mapping[str, int],
) -> Mapping[str, float]:
    wanted = {
        "run": name_of(workload.body),
        "count": workload.count,
        "arguments": {**workload.arguments, **arguments},
        "once": workload.once,
        "repeats": 1 if workload.once else effort.repeats,
        "repeating": 0.0 if workload.once else effort.repeating,
        "cpus": sorted({*layout.loop, *layout.other} if workload.threads else layout.loop),
    }
    (metric,) = workload.metrics
    return {metric.key: finish(child(contestant, wanted))["value"]}


def _served(
    workload: Served,
    layout: Layout,
    contestant: Contestant,
    effort: Effort,
    materials: Materials,
) -> Mapping[str, float]:
    load = [*workload.load, "--cpu", str(layout.other[0])]
    load += ["--warm-up", str(effort.warm_up), "--duration", str(effort.duration)]
    arguments = {}
    if workload.needs == "path":
        arguments["path"] = materials.new_path()
    elif workload.needs == "certificate":
        arguments["certificate"] = materials.certificate()
        load += ["--authority", materials.authority()]
    if contestant.server:
        to = [f"--to=unix:{path}" for path in arguments.values()]
        command = _limit(contestant, layout, to)
    else:
        command = _server(workload.server, layout, contestant, arguments)
    with serving(command) as server:
        load += ["--to", server.said["address"], "--server", str(server.process)]
        return finish(program("rondel-load", *load))


def _server(
    server: Any, layout: Layout, contestant: Contestant, arguments: Mapping[str, str]
) -> list[str]:
    wanted = {"run": name_of(server), "arguments": arguments, "cpus": list(layout.loop)}
    return child(contestant, wanted)


def _limit(contestant: Contestant, layout: Layout, to: list[str]) -> list[str]:
    name, *arguments = contestant.server
    options = [option for pair in to for option in pair.split("=", 1)]
    command = program(name, *arguments, *options)
    return ["taskset", "--cpu-list", ",".join(map(str, layout.loop)), *command]


def _idle(workload: Idle, layout: Layout, contestant: Contestant) -> Mapping[str, float]:
    with serving(_server(workload.server, layout, contestant, {})) as server:
        load = ("--connections", str(workload.connections), "--cpu", str(layout.other[0]))
        with serving(program("rondel-load", "idle", "--to", server.said["address"], *load)):
            try:
                return {"memory": memory.resident(server.process)}
            except memory.CannotMeasure as reason:
                raise Failed(str(reason)) from None


_NOOP = """\
import asyncio
import {module}

async def noop():
    pass

with asyncio.Runner(loop_factory={module}.{function}) as runner:
    runner.run(noop())
"""


def _startup(workload: Startup, layout: Layout, contestant: Contestant) -> Mapping[str, float]:
    module, _, function = contestant.factory.partition(":")
    command = [contestant.interpreter, "-c", _NOOP.format(module=module, function=function)]
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, layout.loop)
    try:
        return {"time": min(_cpu_time(command) for _ in range(workload.processes))}
    finally:
        os.sched_setaffinity(0, before)


def _cpu_time(command: list[str]) -> float:
    """Run a command; return the CPU time that it took, in seconds. Raises :exc:`Failed`."""
    process = os.posix_spawn(command[0], command, environment())
    _, status, usage = os.wait4(process, 0)
    code = os.waitstatus_to_exitcode(status)
    if code:
        raise Failed(f"exit code {code}")
    return usage.ru_utime + usage.ru_stime
