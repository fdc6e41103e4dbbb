"""One measurement, or one server, inside one process, whose argument is a JSON object.

``loop`` is the contestant's ``module:factory``; ``cpus`` are those it may run on. ``run`` is the
``module:function`` that does the work, ``arguments`` what it is given:

- with a ``count``, it does so much work, ``repeats`` times or more, until ``repeating`` seconds are
  over, and ``{"value": number}`` is printed, for one operation;
- without, it is a server: ``{"address": text}`` is printed, and it serves until standard input
  ends;
- if it is null, the contestant introduces itself: ``{"loop": type, "version": text}``.

Whatever goes wrong is an exception, and so the last line of standard error.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any


def resolve(name: str) -> Any:
    """Return what ``module:attribute`` names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def measure(wanted: dict[str, Any]) -> dict[str, float]:
    """Do the work several times; return what one operation took at best.

    Only what the machine does besides makes a repetition worse than the best. It may do so for a
    good part of a second: who is faster must not have less time to meet a better moment.
    """
    body, factory = resolve(wanted["run"]), resolve(wanted["loop"])
    count, arguments = wanted["count"], wanted["arguments"]

    def once(count: int) -> float:
        gc.collect()
        if not inspect.iscoroutinefunction(body):
            return float(body(count, factory=factory, **arguments))
        return float(runner.run(body(count, **arguments)))

    with asyncio.Runner(loop_factory=factory) as runner:
        if not wanted["once"]:
            # Caches, specialised byte code and free lists are what a program has after a moment.
            once(max(count // 10, arguments.get("tasks", 1)))
        took: list[float] = []
        enough = time.monotonic() + wanted["repeating"]
        while len(took) < wanted["repeats"] or time.monotonic() < enough:
            took.append(once(count))
        return {"value": min(took) / count}


def serve(wanted: dict[str, Any]) -> None:
    """Print the address of a server and serve until standard input ends."""
    # glibc maps memory anew for each block above a threshold, which rises with the largest block
    # ever freed: a program that has run for a while does not pay for its receive buffers.
    bytes(1 << 20)

    async def main() -> None:
        address = await resolve(wanted["run"])(**wanted["arguments"])
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
        print(json.dumps({"address": address}), flush=True)
        await ended.wait()
        os._exit(0)  # whatever is still open

    with asyncio.Runner(loop_factory=resolve(wanted["loop"])) as runner:
        runner.run(main())


def introduce(wanted: dict[str, Any]) -> dict[str, str]:
    """Return which loop a contestant is, of which version, after having run it once."""
    import importlib.metadata

    async def kind() -> str:
        await asyncio.sleep(0)
        loop = type(asyncio.get_running_loop())
        return f"{loop.__module__}.{loop.__qualname__}"

    module = wanted["loop"].partition(":")[0].partition(".")[0]
    factory: Callable[[], asyncio.AbstractEventLoop] = resolve(wanted["loop"])
    with asyncio.Runner(loop_factory=factory) as runner:
        loop = runner.run(kind())
    try:
        version = importlib.metadata.version(module)
    except importlib.metadata.PackageNotFoundError:
        version = ".".join(map(str, sys.version_info[:3])) if module == "asyncio" else ""
    return {"loop": loop, "version": version}


def main() -> None:
    """Do what ``sys.argv[1]`` asks for."""
    wanted = json.loads(sys.argv[1])
    os.sched_setaffinity(0, wanted["cpus"])
    if wanted["run"] is None:
        print(json.dumps(introduce(wanted)))
    elif "count" in wanted:
        print(json.dumps(measure(wanted)))
    else:
        serve(wanted)
