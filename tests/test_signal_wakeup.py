"""The process's one wake-up descriptor: the loop uses it while it runs, and leaves it as it was."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator

import pytest
from support.loops import Loop, LoopFactory
from support.net import socket_pair, turns


@pytest.fixture(autouse=True)
def quiet_signal() -> Iterator[None]:
    """SIGUSR1 does nothing, and no wake-up descriptor is installed before and after."""
    handler = signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.set_wakeup_fd(-1)
    yield
    assert signal.set_wakeup_fd(-1) == -1
    signal.signal(signal.SIGUSR1, handler)


@pytest.fixture
def mine() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket_pair() as pair:
        yield pair


def run(loop: Loop, *, kill: bool = False) -> None:
    async def main() -> None:
        if kill:
            os.kill(os.getpid(), signal.SIGUSR1)
        await turns(3)

    loop.run_until_complete(main())


def test_nothing_stays_installed_after_a_run(loop: Loop) -> None:
    run(loop, kill=True)
    assert signal.set_wakeup_fd(-1) == -1


def test_nothing_stays_installed_after_a_handler_that_was_not_there_is_removed(loop: Loop) -> None:
    async def main() -> None:
        await asyncio.sleep(0.001)
        assert not asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR1)

    loop.run_until_complete(main())
    loop.close()
    assert signal.set_wakeup_fd(-1) == -1


def test_what_is_installed_during_a_run_is_after_a_handler_that_was_refused(loop: Loop) -> None:
    def installed() -> int:
        now = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(now, warn_on_full_buffer=False)
        return now

    async def main() -> None:
        await asyncio.sleep(0.001)
        before = installed()
        with pytest.raises(RuntimeError, match="cannot be caught"):
            loop.add_signal_handler(signal.SIGKILL, print)
        await asyncio.sleep(0.001)
        assert installed() == before

    loop.run_until_complete(main())


def test_somebody_elses_descriptor_is_served_during_a_run(
    loop: Loop, mine: tuple[socket.socket, socket.socket]
) -> None:
    read, write = mine
    signal.set_wakeup_fd(write.fileno())
    run(loop, kill=True)
    assert signal.set_wakeup_fd(-1) == write.fileno()
    assert read.recv(10) == bytes([signal.SIGUSR1])


def test_a_descriptor_that_is_installed_during_a_run_stays(
    loop: Loop, mine: tuple[socket.socket, socket.socket]
) -> None:
    _, write = mine

    async def main() -> None:
        signal.set_wakeup_fd(write.fileno())

    loop.run_until_complete(main())
    assert signal.set_wakeup_fd(-1) == write.fileno()


def test_a_descriptor_that_is_closed_during_a_run_is_no_error(loop: Loop) -> None:
    with socket_pair() as (_, write):
        signal.set_wakeup_fd(write.fileno())

        async def main() -> None:
            signal.set_wakeup_fd(-1)
            write.close()

        loop.run_until_complete(main())


def test_a_signal_for_a_resting_loop_is_kept_while_another_runs(
    loop_factory: LoopFactory,
) -> None:
    resting, running = loop_factory(), loop_factory()
    seen: list[str] = []
    resting.add_signal_handler(signal.SIGUSR2, seen.append, "handled")
    try:

        async def main() -> None:
            os.kill(os.getpid(), signal.SIGUSR2)
            await turns(3)

        running.run_until_complete(main())
        assert seen == []
        run(resting)
        assert seen == ["handled"]
    finally:
        resting.close()
        running.close()


def test_a_loop_with_handlers_can_be_closed_while_another_runs(
    loop_factory: LoopFactory,
) -> None:
    resting, running = loop_factory(), loop_factory()
    resting.add_signal_handler(signal.SIGUSR2, print)

    async def main() -> None:
        resting.close()

    running.run_until_complete(main())
    running.close()


def test_a_signal_ends_the_park_without_a_handler_in_the_loop(loop: Loop) -> None:
    """The handler is Python's alone; it runs although nothing else wakes the loop."""
    done = asyncio.Event()

    def handler(*_: object) -> None:
        loop.call_soon_threadsafe(done.set)

    signal.signal(signal.SIGUSR1, handler)

    async def main() -> None:
        await loop.run_in_executor(None, os.kill, os.getpid(), signal.SIGUSR1)
        await done.wait()
        await loop.shutdown_default_executor()

    loop.run_until_complete(main())
