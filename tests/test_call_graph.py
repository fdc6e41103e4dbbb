"""Who waits for whom: asyncio's call graphs, from inside and from outside (Python 3.14)."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys

import pytest
from support.child import start_child
from support.loops import Loop
from support.net import connected, turns

if sys.version_info < (3, 14):
    pytest.skip("call graphs came with Python 3.14", allow_module_level=True)


async def leaf(loop: Loop) -> None:
    await loop.create_future()


async def middle(loop: Loop) -> None:
    await leaf(loop)


def names(graph: asyncio.FutureCallGraph) -> list[str]:
    return [entry.frame.f_code.co_name for entry in graph.call_stack]


async def cancelled(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_graph_has_the_stack_of_a_task_and_who_awaits_it(loop: Loop) -> None:
    task = loop.create_task(middle(loop), name="inner")

    async def wait() -> None:
        await task

    outer = loop.create_task(wait(), name="outer")
    await turns(3)
    graph = asyncio.capture_call_graph(task)
    assert graph is not None
    assert graph.future is task
    assert names(graph) == ["leaf", "middle"]
    assert [awaiter.future for awaiter in graph.awaited_by] == [outer]
    assert names(graph.awaited_by[0]) == ["wait"]
    await cancelled(outer, task)


async def test_within_a_task_the_graph_is_its_own(loop: Loop) -> None:
    async def inner() -> asyncio.FutureCallGraph | None:
        return asyncio.capture_call_graph()

    async def outer() -> asyncio.FutureCallGraph | None:
        return await inner()

    task = loop.create_task(outer())
    graph = await task
    assert graph is not None
    assert graph.future is task
    assert names(graph)[-2:] == ["inner", "outer"]


async def test_within_a_callback_there_is_no_graph(loop: Loop) -> None:
    graphs: list[asyncio.FutureCallGraph | None] = []
    loop.call_soon(lambda: graphs.append(asyncio.capture_call_graph()))
    await turns(2)
    assert graphs == [None]


async def test_a_task_that_waits_for_a_transport_has_a_graph(loop: Loop) -> None:
    async with connected(loop) as (_, protocol, peer):

        async def wait() -> None:
            await protocol.got(1)

        task = loop.create_task(wait())
        await turns(2)
        printed = io.StringIO()
        asyncio.print_call_graph(task, file=printed)
        peer.send(b"x")
        await task
    stack = [line for line in printed.getvalue().splitlines() if " line " in line]
    assert any(line.endswith("got()") for line in stack[:-1])
    assert stack[-1].endswith("wait()")


PROGRAM = """
async def leaf():
    print("waiting", flush=True)
    await asyncio.Event().wait()

async def middle():
    await leaf()

async def main():
    async with asyncio.TaskGroup() as group:
        group.create_task(middle(), name="watched")

with asyncio.Runner(loop_factory=make_loop) as runner:
    runner.run(main())
"""


@pytest.mark.parametrize("command", ["ps", "pstree"])
def test_the_tasks_of_a_process_can_be_seen_from_outside(loop_kind: str, command: str) -> None:
    program = start_child(loop_kind, PROGRAM)
    assert program.stdout is not None
    try:
        assert program.stdout.readline() == "waiting\n"
        seen = subprocess.run(
            [sys.executable, "-m", "asyncio", command, str(program.pid)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "NO_COLOR": "1"},
        )
        if "insufficient permissions" in seen.stdout + seen.stderr:
            pytest.skip("this user may not look into another process")
        assert seen.returncode == 0, seen.stderr
        assert "watched" in seen.stdout
        assert "middle" in seen.stdout
        assert "leaf" in seen.stdout
        assert "Task-1" in seen.stdout
    finally:
        program.kill()
        program.communicate()
