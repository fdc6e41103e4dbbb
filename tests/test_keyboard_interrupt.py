"""Ctrl-C: at any moment it ends a program as it does on the standard library's loop."""

from __future__ import annotations

import asyncio
import signal

import pytest
from support.child import start_child
from support.loops import Loop

RUN_FOREVER = """
    loop = make_loop()
    {schedule}
    try:
        loop.run_forever()
    finally:
        print("left", loop.is_running())
        loop.close()
"""

PROGRAMS = {
    "asleep": RUN_FOREVER.format(schedule="loop.call_soon(print, 'ready')"),
    "asleep with a timer": RUN_FOREVER.format(
        schedule="loop.call_later(3600, print); loop.call_soon(print, 'ready')"
    ),
    "busy in python callbacks": """
    def spin():
        loop.call_soon(spin)
    """
    + RUN_FOREVER.format(schedule="loop.call_soon(print, 'ready'); loop.call_soon(spin)"),
    "busy in builtin callbacks": """
    # A chain without any Python code: call_soon calls itself through a partial object.
    import functools
    chain = functools.partial(print)
    """
    + RUN_FOREVER.format(
        schedule="chain.__setstate__((loop.call_soon, (chain,), {}, {})); "
        "loop.call_soon(print, 'ready'); loop.call_soon(chain)"
    ),
    "busy in builtin timers": """
    import functools
    chain = functools.partial(print)
    """
    + RUN_FOREVER.format(
        schedule="chain.__setstate__((loop.call_later, (0, chain), {}, {})); "
        "loop.call_soon(print, 'ready'); loop.call_soon(chain)"
    ),
    "busy within one callback": """
    def spin():
        print("ready")
        while True:
            pass
    """
    + RUN_FOREVER.format(schedule="loop.call_soon(spin)"),
    "asleep within a runner": """
    async def main():
        print("ready")
        try:
            await asyncio.sleep(3600)
        finally:
            print("cleaned up")

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(main())
    """,
    "busy within a runner": """
    async def main():
        print("ready")
        try:
            while True:
                await asyncio.sleep(0)
        finally:
            print("cleaned up")

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(main())
    """,
    "busy tasks under run_until_complete": """
    async def spin():
        while True:
            await asyncio.sleep(0)

    async def main():
        spinning = [asyncio.create_task(spin()) for _ in range(3)]
        await asyncio.sleep(0)
        print("ready")
        await asyncio.wait(spinning)

    loop = make_loop()
    try:
        loop.run_until_complete(main())
    except KeyboardInterrupt:
        print("goodbye", flush=True)
        os._exit(3)
    """,
    "waiting for a thread": """
    import threading
    stop = threading.Event()

    async def main():
        print("ready")
        try:
            await asyncio.get_running_loop().run_in_executor(None, stop.wait)
        finally:
            stop.set()
            print("cleaned up")

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(main())
    """,
    "serving connections": """
    async def main():
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        async with server:
            print("ready")
            await server.serve_forever()

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(main())
    """,
    "the exception is caught": """
    async def main():
        print("ready")
        await asyncio.sleep(3600)

    try:
        with asyncio.Runner(loop_factory=make_loop) as runner:
            runner.run(main())
    except KeyboardInterrupt:
        print("goodbye")
        sys.exit(3)
    """,
}


def interrupted(kind: str, program: str) -> tuple[int, str, str]:
    """Run the program, interrupt it when it is ready; its code, output and last words."""
    child = start_child(kind, program)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    return child.returncode, out, err.strip().rpartition("\n")[2]


CAUGHT = (3, "goodbye\n", "")
EXPECTED = {
    "asleep within a runner": (-signal.SIGINT, "cleaned up\n", "KeyboardInterrupt"),
    "busy within a runner": (-signal.SIGINT, "cleaned up\n", "KeyboardInterrupt"),
    "waiting for a thread": (-signal.SIGINT, "cleaned up\n", "KeyboardInterrupt"),
    "serving connections": (-signal.SIGINT, "", "KeyboardInterrupt"),
    "busy tasks under run_until_complete": CAUGHT,
    "the exception is caught": CAUGHT,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_ends_with_a_keyboard_interrupt(loop_kind: str, name: str) -> None:
    expected = EXPECTED.get(name, (-signal.SIGINT, "left False\n", "KeyboardInterrupt"))
    assert interrupted(loop_kind, PROGRAMS[name]) == expected


def test_a_second_interrupt_ends_a_program_that_refuses_the_first(loop_kind: str) -> None:
    program = """
    async def main():
        print("ready")
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                print("refused")

    loop = make_loop()
    runner = asyncio.Runner(loop_factory=lambda: loop)
    try:
        runner.run(main())
    except KeyboardInterrupt:
        print("interrupted")
    os._exit(0)  # the task would refuse to end in good order
    """
    child = start_child(loop_kind, program)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGINT)
    assert child.stdout.readline() == "refused\n"
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (out, err, child.returncode) == ("interrupted\n", "", 0)


def test_an_interrupt_raised_in_a_callback_leaves_the_run(loop: Loop) -> None:
    ran: list[str] = []
    loop.call_soon(signal.raise_signal, signal.SIGINT)
    loop.call_soon(ran.append, "after")
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    loop.run_until_complete(asyncio.sleep(0))
    assert ran == ["after"]


def test_the_loop_works_after_an_interrupt(loop: Loop) -> None:
    for _ in range(3):
        loop.call_later(0.001, signal.raise_signal, signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            loop.run_forever()
        assert loop.run_until_complete(asyncio.sleep(0.001, "fine")) == "fine"


def test_other_exceptions_of_signal_handlers_reach_the_caller(loop: Loop) -> None:
    class Alarm(BaseException):
        pass

    def handler(number: int, frame: object) -> None:
        raise Alarm

    previous = signal.signal(signal.SIGALRM, handler)
    timer = signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        with pytest.raises(Alarm):
            loop.run_forever()
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, previous)
