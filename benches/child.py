"""One measurement inside one process, whose argument is a JSON object; so is what it prints.

``loop`` is the contestant's ``module:factory``; ``cpus`` are those it may run on. ``run`` is the
``module:function`` that does the work, ``count`` and ``arguments`` what it is given, ``repeats``
how often it is done. The answer is ``{"time": seconds}``, for one operation. Whatever goes wrong is
an exception, and so the last line of standard error.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable
from typing import Any


def resolve(name: str) -> Any:
    """Return what ``module:attribute`` names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def runner(wanted: dict[str, Any]) -> asyncio.Runner:
    """Return what runs coroutines on a loop of the contestant, on the CPUs wanted."""
    os.sched_setaffinity(0, wanted["cpus"])
    factory: Callable[[], asyncio.AbstractEventLoop] = resolve(wanted["loop"])
    return asyncio.Runner(loop_factory=factory)


def measure(wanted: dict[str, Any]) -> dict[str, float]:
    """Do the work several times; return the seconds that one operation took at best.

    Only what the machine does besides makes a repetition slower than the best.
    """
    body = resolve(wanted["run"])
    count, arguments = wanted["count"], wanted["arguments"]
    took = []
    with runner(wanted) as running:
        # Caches, specialised byte code and free lists are what a program has after a moment.
        running.run(body(max(count // 10, arguments.get("tasks", 1)), **arguments))
        for _ in range(wanted["repeats"]):
            gc.collect()
            took.append(running.run(body(count, **arguments)))
    return {"time": min(took) / count}


def introduce(wanted: dict[str, Any]) -> dict[str, str]:
    """Return which loop a contestant is, of which version, after having run it once."""

    async def kind() -> str:
        await asyncio.sleep(0)
        loop = type(asyncio.get_running_loop())
        return f"{loop.__module__}.{loop.__qualname__}"

    module = wanted["loop"].partition(":")[0].partition(".")[0]
    with runner(wanted) as running:
        loop = running.run(kind())
    try:
        version = importlib.metadata.version(module)
    except importlib.metadata.PackageNotFoundError:
        version = ".".join(map(str, sys.version_info[:3])) if module == "asyncio" else ""
    return {"loop": loop, "version": version}


def main() -> None:
    """Print what ``sys.argv[1]`` asks for."""
    wanted = json.loads(sys.argv[1])
    do = introduce if wanted["run"] is None else measure
    print(json.dumps(do(wanted)))
