"""Calls by chance: loops, transports, servers and handles fail as the standard library's do.

Public methods are called with values that few of them can take, on both loops in the same way; what
is raised, returned and reported must be of the same kind, and both loops must still work. The seed
is printed at the head of the run and with a failing call, and `RONDEL_FUZZ_SEED` repeats it.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import side_by_side
from support.fuzz import SEED
from support.generated import GeneratedCall, Generator, Maker, signatures_of, words
from support.loops import STDLIB, kinds
from support.protocols import Recorder
from support.side_by_side import Outcome, Stage

pytestmark = pytest.mark.usefixtures("only_sockets_left_to_the_collector")

BATCHES = 20
LOOP_CALLS, OTHER_CALLS = 100, 20
"""Calls in a batch: of a loop's methods, and of each other class's."""

LEFT_OUT = {
    "call_at": "asyncio takes any deadline, and fails when it compares it with another",
    "call_later": "asyncio takes any delay that it can add, and fails when it compares deadlines",
    "close": "takes nothing",
    "connect_read_pipe": "asyncio leaves half a transport, which fails in its finalizer",
    "connect_write_pipe": "asyncio leaves half a transport, which fails in its finalizer",
    "create_future": "takes nothing, and nobody sets what it makes",
    "call_exception_handler": "what it is given is what the comparison looks at",
    "default_exception_handler": "logs what it is given",
    "getaddrinfo": "asks name servers",
    "run_forever": "takes nothing, and does not return",
    "run_in_executor": "the executor's threads would outlive a call that is not awaited",
    "run_until_complete": "waits for ever for a future that nobody sets",
    "set_debug": "what the comparison sets itself",
    "set_default_executor": "the comparison shuts it down",
    "set_exception_handler": "what the comparison sets itself",
    "set_task_factory": "the comparison makes tasks",
    "shutdown_default_executor": "the comparison does it",
    "subprocess_shell": "starts what it is given",
}
"""Methods of a loop that are not called by chance, each with the reason."""

LOOP = signatures_of(asyncio.AbstractEventLoop, without=LEFT_OUT)
STAGES = (
    side_by_side.on_a_running_loop,
    side_by_side.on_a_running_loop,
    side_by_side.on_a_running_loop_in_debug_mode,
    side_by_side.on_a_resting_loop,
)


async def on_tcp(loop: Any, act: Callable[[Any], None]) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    made = await loop.create_connection(Recorder, *listener.getsockname())
    peer, _ = listener.accept()
    listener.close()
    await use_transport(*made, act)
    peer.close()


async def on_udp(loop: Any, act: Callable[[Any], None]) -> None:
    made = await loop.create_datagram_endpoint(Recorder, local_addr=("127.0.0.1", 0))
    await use_transport(*made, act)


async def on_connected_udp(loop: Any, act: Callable[[Any], None]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        made = await loop.create_datagram_endpoint(Recorder, remote_addr=peer.getsockname())
        await use_transport(*made, act)


async def on_read_pipe(loop: Any, act: Callable[[Any], None]) -> None:
    read, write = os.pipe()
    made = await loop.connect_read_pipe(Recorder, os.fdopen(read, "rb"))
    await use_transport(*made, act)
    os.close(write)


async def on_write_pipe(loop: Any, act: Callable[[Any], None]) -> None:
    read, write = os.pipe()
    made = await loop.connect_write_pipe(Recorder, os.fdopen(write, "wb"))
    await use_transport(*made, act)
    os.close(read)


async def use_transport(transport: Any, protocol: Any, act: Callable[[Any], None]) -> None:
    """Use it, let it take a few turns, and close it."""
    act(transport)
    await turns()
    if not protocol.count("lost"):
        transport.set_protocol(protocol)
        getattr(transport, "abort", transport.close)()
        await protocol.lost()
    await turns()


async def on_server(loop: Any, act: Callable[[Any], None]) -> None:
    server = await loop.create_server(Recorder, "127.0.0.1", 0)
    act(server)
    await turns()
    server.close()
    await server.wait_closed()


async def on_handle(loop: Any, act: Callable[[Any], None]) -> None:
    act(loop.call_soon(int))
    await turns()


async def on_timer_handle(loop: Any, act: Callable[[Any], None]) -> None:
    timer = loop.call_later(3600, int)
    act(timer)
    timer.cancel()


async def turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


# A transport takes anything for a protocol, which would then not hear of the end of the connection.
PROTOCOL = ("set_protocol",)
# asyncio's calls connection_lost twice then, the second time in vain.
PIPE = (*PROTOCOL, "abort")
Use = Callable[[Any, Callable[[Any], None]], Any]
TIMER = {
    name: inspect.Signature([inspect.Parameter("other", inspect.Parameter.POSITIONAL_ONLY)])
    for name in ("__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__")
}
OTHERS: dict[str, tuple[Use, dict[str, inspect.Signature]]] = {
    "TCP transport": (on_tcp, signatures_of(asyncio.Transport, without=PROTOCOL)),
    "UDP transport": (on_udp, signatures_of(asyncio.DatagramTransport, without=PROTOCOL)),
    "connected UDP transport": (
        on_connected_udp,
        signatures_of(asyncio.DatagramTransport, without=PROTOCOL),
    ),
    "read pipe": (on_read_pipe, signatures_of(asyncio.ReadTransport, without=PROTOCOL)),
    "write pipe": (on_write_pipe, signatures_of(asyncio.WriteTransport, without=PIPE)),
    "server": (on_server, signatures_of(asyncio.Server)),
    "handle": (on_handle, signatures_of(asyncio.Handle)),
    "timer": (on_timer_handle, {**signatures_of(asyncio.TimerHandle), **TIMER}),
}


class Surroundings:
    """Where calls may leave files and sockets: nothing of it is there for the next call."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[Any] = []

    def clear(self) -> None:
        for value in self.made:
            if isinstance(value, socket.socket):
                value.close()
        self.made.clear()
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    monkeypatch.chdir(tmp_path)  # where a path by chance ends up
    return Surroundings(tmp_path)


def compare(
    surroundings: Surroundings, outcome_on: Callable[[str], Outcome], *calls: GeneratedCall
) -> None:
    """The same must come of it on both loops."""
    outcomes = []
    for kind in (STDLIB, kinds()[-1]):
        outcomes.append(outcome_on(kind))
        surroundings.clear()
    expected, actual = outcomes
    assert came_to(actual) == came_to(expected), (
        f"{'; '.join(map(str, calls))}: {actual.error!r} for {expected.error!r}; "
        f"RONDEL_FUZZ_SEED={SEED}"
    )


def came_to(outcome: Outcome) -> tuple[str, set[str]]:
    """What came of it; how often it was reported depends on how often the loop looked."""
    what, reported = outcome.kind()
    return what, set(reported)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_calls_of_a_loop(batch: int, surroundings: Surroundings) -> None:
    generator = Generator(SEED + batch)
    right: dict[str, Maker] = {"protocol_factory": lambda: Recorder}
    for _ in range(LOOP_CALLS):
        call = generator.call(LOOP, right)
        stage = generator.choose(STAGES)

        def act(loop: Any, call: GeneratedCall = call) -> Any:
            made = call(loop, surroundings.made)
            return finished(made) if inspect.isawaitable(made) else closed(made)

        compare(surroundings, lambda kind: stage(kind, act), call)


async def finished(made: Any) -> Any:
    async with asyncio.timeout(5):
        return closed(await made)


def closed(made: Any) -> Any:
    """Leave nothing open of what a call has made after all."""
    if isinstance(made, asyncio.AbstractServer | asyncio.BaseTransport):
        made.close()
    elif isinstance(made, asyncio.Handle):
        made.cancel()
    elif isinstance(made, tuple) and made and isinstance(made[0], asyncio.BaseTransport):
        made[0].close()
        return "a transport and a protocol"
    return made


@pytest.mark.parametrize("batch", range(BATCHES))
@pytest.mark.parametrize("name", OTHERS)
def test_calls_of_what_a_loop_makes(name: str, batch: int, surroundings: Surroundings) -> None:
    use, signatures = OTHERS[name]
    generator = Generator(SEED + batch)
    for _ in range(OTHER_CALLS):
        calls = [generator.call(signatures, {}) for _ in range(generator.choose([1, 1, 2]))]
        if use is on_write_pipe and any(words in call.positional for call in calls):
            continue  # asyncio's compares bytes written with items there are
        if use is on_tcp and [call.name for call in calls] == ["close", "writelines"]:
            continue  # asyncio's calls None then, from 3.12 on

        def outcome_on(kind: str, calls: list[GeneratedCall] = calls) -> Outcome:
            stage = Stage(kind)

            def act(receiver: Any) -> None:
                for call in calls:
                    stage.attempt(lambda: unawaited(call(receiver, surroundings.made)))

            stage.loop.run_until_complete(use(stage.loop, act))
            return stage.end()

        compare(surroundings, outcome_on, *calls)


def unawaited(made: Any) -> Any:
    if inspect.iscoroutine(made):
        made.close()
        return "a coroutine"
    return made


def test_what_is_left_out_exists() -> None:
    assert not set(LEFT_OUT) - set(vars(asyncio.AbstractEventLoop))
