"""Loops that look for what arrives before they sleep: they do what others do, and sleep, too.

How much time it saves is the benchmark's to say.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.loops import RONDEL, kinds
from support.programs import RONDEL as ON_RONDEL
from support.programs import python, write

if RONDEL not in kinds():
    pytest.skip("Rondel is not built", allow_module_level=True)

import rondel

pytestmark = pytest.mark.usefixtures("nothing_left_behind")

ENDLESS = 3600.0
"""Longer than a test takes: such a loop never comes to sleep."""


@pytest.fixture(params=[True, 1e-9, ENDLESS], ids=["default", "short", "endless"])
def spinning(request: pytest.FixtureRequest) -> Iterator[rondel.Loop]:
    loop = rondel.new_event_loop(spin=request.param)
    yield loop
    loop.close()


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(None, 0.0), (False, 0.0), (True, 50e-6), (0, 0.0), (20e-6, 20e-6), (1, 1.0)],
)
def test_a_loop_spins_for_as_long_as_it_is_told(given: float | None, seconds: float) -> None:
    loop = rondel.new_event_loop(spin=given)
    assert loop.spin == seconds
    loop.close()
    assert loop.spin == 0.0

    async def ask() -> float:
        running = asyncio.get_running_loop()
        assert isinstance(running, rondel.Loop)
        return running.spin

    assert rondel.run(ask(), spin=given) == seconds


@pytest.mark.parametrize(
    ("wrong", "error"),
    [(-1, ValueError), (float("nan"), ValueError), (float("inf"), ValueError), ("1", TypeError)],
)
def test_what_is_no_time_to_spin_is_refused(wrong: float, error: type[Exception]) -> None:
    with pytest.raises(error):
        rondel.new_event_loop(spin=wrong)


def test_a_class_may_spin_by_default() -> None:
    class Spinning(rondel.Loop):
        default_spin = 10e-6

    for loop, seconds in ((Spinning(), 10e-6), (Spinning(spin=False), 0.0), (rondel.Loop(), 0.0)):
        assert loop.spin == seconds
        loop.close()


def test_other_threads_run_while_a_loop_spins(spinning: rondel.Loop) -> None:
    rounds = 200
    ran: list[int] = []
    turn = threading.Semaphore(0)

    def note(number: int) -> None:
        ran.append(number)
        turn.release()

    def call() -> None:
        for number in range(rounds):
            spinning.call_soon_threadsafe(note, number)
            turn.acquire()
        spinning.call_soon_threadsafe(spinning.stop)

    thread = threading.Thread(target=call)
    thread.start()
    spinning.run_forever()
    thread.join()
    assert ran == list(range(rounds))


def test_timers_and_sockets_end_a_spin(spinning: rondel.Loop) -> None:
    async def echo(rounds: int) -> bytes:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)

        def answer() -> None:
            with theirs:
                for _ in range(rounds):
                    theirs.sendall(theirs.recv(1))

        thread = threading.Thread(target=answer)
        thread.start()
        received = b""
        for number in range(rounds):
            writer.write(bytes([number]))
            received += await reader.readexactly(1)
            if number % 10 == 0:
                await asyncio.sleep(0.001)
        writer.close()
        await writer.wait_closed()
        thread.join()
        return received

    assert spinning.run_until_complete(echo(100)) == bytes(range(100))


def test_a_signal_ends_a_spin(spinning: rondel.Loop) -> None:
    spinning.add_signal_handler(signal.SIGUSR1, spinning.stop)
    sending = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGUSR1))
    spinning.call_soon(sending.start)
    spinning.run_forever()
    sending.join()
    spinning.remove_signal_handler(signal.SIGUSR1)


# python -m rondel --spin

SHOW = """\
import asyncio, multiprocessing

async def spin():
    return asyncio.get_running_loop().spin

def show():
    print(asyncio.run(spin()), flush=True)

if __name__ == "__main__":
    show()
    child = multiprocessing.get_context("spawn").Process(target=show)
    child.start()
    child.join()
"""


@pytest.mark.parametrize(
    ("options", "seconds"), [((), "0.0"), (("--spin",), "5e-05"), (("--spin=20",), "2e-05")]
)
def test_the_option_reaches_every_loop_also_in_spawned_processes(
    tmp_path: Path, options: tuple[str, ...], seconds: str
) -> None:
    write(tmp_path, SHOW)
    outcome = python(*ON_RONDEL, *options, "program.py", cwd=tmp_path)
    assert outcome == (f"{seconds}\n{seconds}\n", "", 0)


@pytest.mark.parametrize("wrong", ["--spin=", "--spin=x", "--spin=-1", "--spin=1.5", "--spinning"])
def test_a_wrong_option_is_refused_in_one_line(tmp_path: Path, wrong: str) -> None:
    write(tmp_path, SHOW)
    outcome = python(*ON_RONDEL, wrong, "program.py", cwd=tmp_path)
    assert outcome.returncode == 2
    assert outcome.stdout == ""
    assert len(outcome.stderr.splitlines()) == 1


def test_a_comparison_is_not_helped_by_spinning(tmp_path: Path) -> None:
    outcome = python(*ON_RONDEL, "--spin", "compare", cwd=tmp_path)
    assert outcome.returncode == 2
    assert "compare" in outcome.stderr
