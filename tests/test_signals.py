"""Unix signals: ``add_signal_handler`` and ``remove_signal_handler``."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator

import pytest
from support.child import start_child
from support.leaks import Strays
from support.loops import Loop
from support.net import turns


@pytest.fixture(autouse=True)
def handlers_restored() -> Iterator[None]:
    """Fail the test when it leaves a signal handled otherwise than before."""
    watched = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
    before = [signal.getsignal(number) for number in watched]
    yield
    assert [signal.getsignal(number) for number in watched] == before
    assert signal.set_wakeup_fd(-1) == -1


def raise_usr1() -> None:
    os.kill(os.getpid(), signal.SIGUSR1)


async def test_a_handler_runs_with_its_arguments(loop: Loop) -> None:
    caught = loop.create_future()
    loop.add_signal_handler(signal.SIGUSR1, lambda *args: caught.set_result(args), 1, "two")
    raise_usr1()
    assert await caught == (1, "two")
    assert loop.remove_signal_handler(signal.SIGUSR1) is True


async def test_a_handler_runs_in_the_loop_not_in_the_signal(loop: Loop) -> None:
    ran: list[Loop] = []
    loop.add_signal_handler(signal.SIGUSR1, lambda: ran.append(asyncio.get_running_loop()))
    raise_usr1()
    assert ran == []
    while not ran:
        await asyncio.sleep(0)
    assert ran == [loop]
    loop.remove_signal_handler(signal.SIGUSR1)


def test_a_signal_wakes_a_sleeping_loop(loop: Loop) -> None:
    main = threading.main_thread().ident
    assert main is not None
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    asleep = threading.Event()
    loop.call_soon(asleep.set)

    def kill() -> None:
        asleep.wait()
        signal.pthread_kill(main, signal.SIGUSR1)

    killer = threading.Thread(target=kill)
    killer.start()
    loop.run_forever()
    killer.join()
    loop.remove_signal_handler(signal.SIGUSR1)


def test_a_signal_that_another_thread_takes_wakes_the_loop_too(loop: Loop) -> None:
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    asleep = threading.Event()
    loop.call_soon(asleep.set)

    def kill_oneself() -> None:
        asleep.wait()
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    killer = threading.Thread(target=kill_oneself)
    killer.start()
    loop.run_forever()
    killer.join()
    loop.remove_signal_handler(signal.SIGUSR1)


async def test_each_signal_has_its_handler(loop: Loop) -> None:
    caught: list[str] = []
    loop.add_signal_handler(signal.SIGUSR1, caught.append, "USR1")
    loop.add_signal_handler(signal.SIGUSR2, caught.append, "USR2")
    os.kill(os.getpid(), signal.SIGUSR2)
    while len(caught) < 1:
        await asyncio.sleep(0)
    raise_usr1()
    while len(caught) < 2:
        await asyncio.sleep(0)
    assert caught == ["USR2", "USR1"]
    assert loop.remove_signal_handler(signal.SIGUSR1) is True
    os.kill(os.getpid(), signal.SIGUSR2)
    while len(caught) < 3:
        await asyncio.sleep(0)
    assert loop.remove_signal_handler(signal.SIGUSR2) is True


async def test_adding_again_replaces_the_handler(loop: Loop) -> None:
    caught: list[str] = []
    loop.add_signal_handler(signal.SIGUSR1, caught.append, "first")
    loop.add_signal_handler(signal.SIGUSR1, caught.append, "second")
    raise_usr1()
    while not caught:
        await asyncio.sleep(0)
    await turns(3)
    assert caught == ["second"]
    loop.remove_signal_handler(signal.SIGUSR1)


async def test_removing_restores_the_default_and_tells_whether_there_was_one(
    loop: Loop,
) -> None:
    assert loop.remove_signal_handler(signal.SIGUSR1) is False
    loop.add_signal_handler(signal.SIGUSR1, int)
    assert loop.remove_signal_handler(signal.SIGUSR1) is True
    assert loop.remove_signal_handler(signal.SIGUSR1) is False
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


async def test_removing_a_sigint_handler_restores_the_keyboard_interrupt(loop: Loop) -> None:
    caught = loop.create_future()
    loop.add_signal_handler(signal.SIGINT, caught.set_result, "caught")
    os.kill(os.getpid(), signal.SIGINT)
    assert await caught == "caught"
    loop.remove_signal_handler(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_closing_the_loop_removes_its_handlers(loop: Loop) -> None:
    loop.add_signal_handler(signal.SIGUSR1, int)
    loop.add_signal_handler(signal.SIGTERM, int)
    loop.close()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_a_handler_may_remove_itself(loop: Loop) -> None:
    caught = loop.create_future()

    def once() -> None:
        loop.remove_signal_handler(signal.SIGUSR1)
        caught.set_result(None)

    loop.add_signal_handler(signal.SIGUSR1, once)
    raise_usr1()
    await caught


async def test_a_failing_handler_is_reported(loop: Loop, strays: Strays) -> None:
    def fail() -> None:
        raise LookupError("handler")

    loop.add_signal_handler(signal.SIGUSR1, fail)
    raise_usr1()
    while not strays.contexts:
        await asyncio.sleep(0)
    assert isinstance(strays.take_one()["exception"], LookupError)
    loop.remove_signal_handler(signal.SIGUSR1)


async def test_many_signals_of_several_kinds_are_all_seen(loop: Loop) -> None:
    caught: dict[int, int] = {signal.SIGUSR1: 0, signal.SIGUSR2: 0}

    def count(number: int) -> None:
        caught[number] += 1

    for number in caught:
        loop.add_signal_handler(number, count, number)
    for _ in range(100):
        for number, before in list(caught.items()):
            os.kill(os.getpid(), number)
            while caught[number] == before:
                await asyncio.sleep(0)
    assert caught == {signal.SIGUSR1: 100, signal.SIGUSR2: 100}
    for number in caught:
        loop.remove_signal_handler(number)


async def test_what_cannot_be_handled_is_refused(loop: Loop) -> None:
    for wrong in ("USR1", 1.5, None):
        with pytest.raises(TypeError, match="sig must be an int, not"):
            loop.add_signal_handler(wrong, int)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="sig must be an int, not"):
            loop.remove_signal_handler(wrong)  # type: ignore[arg-type]
    for number in (0, -1, 1000):
        with pytest.raises(ValueError, match="invalid signal number"):
            loop.add_signal_handler(number, int)
    for number in (signal.SIGKILL, signal.SIGSTOP):
        with pytest.raises(RuntimeError, match="cannot be caught"):
            loop.add_signal_handler(number, int)


async def test_coroutines_are_refused(loop: Loop) -> None:
    async def handler() -> None: ...

    with pytest.raises(TypeError, match=r"^coroutines cannot be used with add_signal_handler\(\)$"):
        loop.add_signal_handler(signal.SIGUSR1, handler)
    coroutine = handler()
    with pytest.raises(TypeError, match="coroutines cannot be used"):
        loop.add_signal_handler(signal.SIGUSR1, coroutine)  # type: ignore[arg-type]
    coroutine.close()


async def test_handlers_are_for_the_main_thread_only(loop: Loop) -> None:
    def add() -> str:
        other = type(loop)()
        try:
            other.add_signal_handler(signal.SIGUSR1, int)
        except (RuntimeError, ValueError) as error:
            return str(error)
        finally:
            other.close()
        return "added"

    assert "main thread" in await loop.run_in_executor(None, add)


def test_a_closed_loop_takes_no_handlers(loop: Loop) -> None:
    loop.close()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        loop.add_signal_handler(signal.SIGUSR1, int)


def test_a_program_ends_in_good_order_on_sigterm(loop_kind: str) -> None:
    program = """
        import signal

        async def main():
            stop = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
            print("ready")
            await stop.wait()
            print("stopped")

        with asyncio.Runner(loop_factory=make_loop) as runner:
            runner.run(main())
    """
    child = start_child(loop_kind, program)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=30)
    assert (out, err, child.returncode) == ("stopped\n", "", 0)


def test_a_signal_that_is_not_handled_kills_the_program(loop_kind: str) -> None:
    program = """
        loop = make_loop()
        loop.call_soon(print, "ready")
        loop.run_forever()
    """
    child = start_child(loop_kind, program)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=30)
    assert (out, err, child.returncode) == ("", "", -signal.SIGTERM)


def test_signals_arrive_while_callbacks_keep_the_loop_busy(loop: Loop) -> None:
    caught: list[int] = []
    loop.add_signal_handler(signal.SIGUSR1, caught.append, 1)

    def spin() -> None:
        if caught:
            loop.stop()
        else:
            loop.call_soon(spin)

    loop.call_soon(spin)
    loop.call_soon(raise_usr1)
    loop.run_forever()
    assert caught == [1]
    loop.remove_signal_handler(signal.SIGUSR1)
