"""Python code that runs in the midst of the loop's work and calls back into the loop.

Finalizers, ``fileno``, arithmetic, comparisons and iteration are all user code; whenever the loop
or a transport runs them, it must be in a state in which it can be called.
"""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.leaks import Strays
from support.loops import STDLIB, Loop, LoopFactory
from support.net import (
    connected,
    end,
    listening,
    receive_all,
    receive_exactly,
    socket_pair,
    turns,
)
from support.protocols import BufferedRecorder, Recorder


class Finalized:
    """Calls ``act`` when it is freed; can be scheduled."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def __call__(self, *args: object) -> None: ...

    def __del__(self) -> None:
        self.act()


def disturb(loop: Loop, seen: list[str]) -> Callable[[], None]:
    """Something that uses the loop in many ways."""

    def act() -> None:
        loop.call_soon(seen.append, "soon")
        loop.call_soon_threadsafe(seen.append, "threadsafe")
        loop.call_later(0, seen.append, "later")
        loop.call_later(3600, int).cancel()
        loop.call_soon(int).cancel()
        loop.is_running()
        loop.time()

    return act


def run_turns(loop: Loop, count: int = 3) -> None:
    loop.run_until_complete(turns(count))


EACH = ["soon", "threadsafe", "later"]


def test_a_finalizer_run_by_cancel(loop: Loop) -> None:
    seen: list[str] = []
    handle = loop.call_soon(Finalized(disturb(loop, seen)))
    timer = loop.call_later(3600, Finalized(disturb(loop, seen)))
    handle.cancel()
    timer.cancel()
    gc.collect()
    run_turns(loop)
    assert sorted(seen) == sorted(EACH * 2)


def test_a_finalizer_run_when_a_callback_was_called(loop: Loop) -> None:
    seen: list[str] = []
    loop.call_soon(Finalized(disturb(loop, seen)))
    loop.call_later(0, Finalized(disturb(loop, seen)))
    loop.call_soon_threadsafe(Finalized(disturb(loop, seen)))
    run_turns(loop, 6)
    assert sorted(seen) == sorted(EACH * 3)


def test_a_finalizer_run_by_clearing_out_cancelled_timers(loop: Loop) -> None:
    seen: list[str] = []

    class Timer:
        def __call__(self) -> None: ...

    handles = [loop.call_later(3600 + n, Timer(), Finalized(lambda: None)) for n in range(500)]
    handles[250].cancel()
    last = loop.call_later(3600, Finalized(disturb(loop, seen)))
    for handle in handles:
        handle.cancel()
    last.cancel()
    handles.clear()
    del last
    gc.collect()
    run_turns(loop, 6)
    assert sorted(seen) == sorted(EACH)


def test_a_finalizer_run_by_close(loop_factory: LoopFactory) -> None:
    loop = loop_factory()
    errors: list[str] = []

    def act() -> None:
        for use in (
            lambda: loop.call_soon(int),
            lambda: loop.call_soon_threadsafe(int),
            lambda: loop.call_later(0, int),
            lambda: loop.add_reader(0, int),
        ):
            try:
                use()
            except RuntimeError as error:
                errors.append(str(error))
        loop.is_closed()
        loop.close()

    loop.call_soon(Finalized(act))
    loop.call_later(3600, Finalized(act))
    loop.call_soon_threadsafe(Finalized(act))
    loop.close()
    gc.collect()
    assert set(errors) <= {"Event loop is closed"}
    assert loop.is_closed()


async def test_a_finalizer_run_by_replacing_and_removing_a_watcher(loop: Loop) -> None:
    seen: list[str] = []
    with socket_pair() as (left, right):

        def act() -> None:
            seen.append("freed")
            loop.add_writer(right, int)
            loop.remove_writer(right)
            loop.remove_reader(right)

        loop.add_reader(left, Finalized(act))
        loop.add_reader(left, Finalized(act))
        loop.remove_reader(left)
        gc.collect()
        assert seen == ["freed", "freed"]


async def test_a_finalizer_run_by_a_protocol_that_is_replaced(loop: Loop) -> None:
    freed: list[str] = []

    class Freed(Recorder):
        def __del__(self) -> None:
            transport.write(b"from the finalizer")
            freed.append("freed")

    async with connected(loop) as (transport, protocol, peer):
        transport.set_protocol(Freed())
        transport.set_protocol(protocol)
        gc.collect()
        assert freed == ["freed"]
        assert await receive_exactly(loop, peer, 18) == b"from the finalizer"


def test_a_finalizer_run_by_the_result_of_a_callback(loop: Loop) -> None:
    seen: list[str] = []
    loop.call_soon(lambda: Finalized(disturb(loop, seen)))
    run_turns(loop)
    assert sorted(seen) == sorted(EACH)


def test_numbers_that_use_the_loop(loop: Loop) -> None:
    seen: list[str] = []

    class Delay:
        def __radd__(self, now: float) -> float:
            disturb(loop, seen)()
            return now - 1

    loop.call_later(Delay(), seen.append, "delayed")  # type: ignore[arg-type]
    run_turns(loop, 6)
    assert sorted(seen) == sorted([*EACH, "delayed"])


def test_comparisons_that_use_the_loop(loop: Loop) -> None:
    seen: list[str] = []

    class Callback:
        def __call__(self) -> None: ...

        def __eq__(self, other: object) -> bool:
            disturb(loop, seen)()
            return True

        __hash__ = None  # type: ignore[assignment]

    one, two = loop.call_at(10**9, Callback()), loop.call_at(10**9, Callback())
    assert one == two
    one.cancel()
    two.cancel()
    run_turns(loop)
    assert set(seen) == set(EACH)


async def test_descriptors_that_use_the_loop(loop: Loop) -> None:
    with socket_pair() as (left, right):

        class File:
            def fileno(self) -> int:
                loop.add_reader(left, int)
                loop.remove_reader(left)
                loop.add_writer(right, int)
                loop.remove_writer(right)
                return left.fileno()

        loop.add_reader(File(), int)
        assert loop.remove_reader(File()) in (True, False)
        loop.remove_reader(left)


@pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit, BaseException])
def test_other_exits_raised_in_a_callback_are_reported(
    loop: Loop, strays: Strays, error: type[BaseException]
) -> None:
    def fail() -> None:
        raise error("raised")

    ran: list[str] = []
    loop.call_soon(fail)
    loop.call_soon(ran.append, "after")
    run_turns(loop)
    assert ran == ["after"]
    assert type(strays.take_one()["exception"]) is error


def test_a_callback_that_cannot_even_be_described_does_not_stop_the_others(
    loop: Loop, strays: Strays
) -> None:
    class Odd:
        def __call__(self) -> None:
            raise LookupError("called")

        def __repr__(self) -> str:
            raise ZeroDivisionError("repr")

    ran: list[str] = []
    loop.call_soon(Odd())
    loop.call_soon(ran.append, "after")
    try:
        run_turns(loop)
    except ZeroDivisionError:
        run_turns(loop)  # the standard loop's report fails, and leaves the run
    else:
        assert isinstance(strays.take_one()["exception"], LookupError | ZeroDivisionError)
    assert ran == ["after"]


async def test_an_iterable_that_writes_while_it_is_written(loop: Loop) -> None:
    async with connected(loop) as (transport, _, peer):

        def pieces() -> Iterator[bytes]:
            yield b"one"
            transport.get_write_buffer_size()
            yield b"two"

        transport.writelines(pieces())
        transport.write(b"three")
        assert await receive_exactly(loop, peer, 11) == b"onetwothree"


async def test_a_view_released_after_it_was_written(loop: Loop) -> None:
    async with connected(loop) as (transport, _, peer):
        owner = bytearray(b"small")
        view = memoryview(owner)
        transport.write(view)
        transport.writelines([view, view[1:3]])
        view.release()
        await turns(1)
        owner.clear()
        assert await receive_exactly(loop, peer, 12) == b"smallsmallma"


@pytest.mark.parametrize("act", ["close", "abort", "pause_reading"])
async def test_get_buffer_may_act_on_its_transport(loop: Loop, act: str) -> None:
    class Acts(BufferedRecorder):
        def get_buffer(self, sizehint: int) -> bytearray:
            getattr(self.transport, act)()
            return super().get_buffer(sizehint)

    async with connected(loop, Acts) as (_, protocol, peer):
        await loop.sock_sendall(peer, b"data")
        await turns(10)
        if act in ("close", "abort"):
            await protocol.lost()
            assert await receive_all(loop, peer) == b""


async def test_get_buffer_may_write(loop: Loop) -> None:
    class Writes(BufferedRecorder):
        def get_buffer(self, sizehint: int) -> bytearray:
            if not self.hints:
                self.transport.write(b"from get_buffer")
            return super().get_buffer(sizehint)

    async with connected(loop, Writes) as (_, protocol, peer):
        await loop.sock_sendall(peer, b"data")
        assert await protocol.got(4) == b"data"
        assert await receive_exactly(loop, peer, 15) == b"from get_buffer"


async def test_flow_control_callbacks_may_act_on_their_transport(loop: Loop) -> None:
    class Acts(Recorder):
        def pause_writing(self) -> None:
            super().pause_writing()
            if self.count("pause") < 3:
                self.transport.write(b"x" * 10)
                self.transport.set_write_buffer_limits(high=100 + self.count("pause"))
                self.transport.get_write_buffer_size()

    async with connected(loop, Acts) as (transport, protocol, peer):
        transport.write(bytes(10_000_000))
        received = 0
        while not protocol.count("resume"):
            received += len(await loop.sock_recv(peer, 1 << 20))
        transport.close()
        received += len(await receive_all(loop, peer))
        assert received == 10_000_000 + 10 * min(protocol.count("pause"), 2)


async def test_connection_lost_may_start_anew(loop: Loop) -> None:
    again: list[asyncio.Task[Any]] = []

    with socket.create_server(("127.0.0.1", 0)) as server:

        class Reconnects(Recorder):
            def connection_lost(self, exc: BaseException | None) -> None:
                self.transport.write(b"too late")
                self.transport.close()
                self.transport.abort()
                again.append(
                    loop.create_task(loop.create_connection(Recorder, *server.getsockname()))
                )
                super().connection_lost(exc)

        transport, protocol = await loop.create_connection(Reconnects, *server.getsockname())
        transport.close()
        await protocol.lost()
        transport, protocol = await again[0]
        transport.abort()
        await protocol.lost()
        await turns(1)


async def test_closing_within_any_callback(loop: Loop, loop_kind: str) -> None:
    """A protocol closes or aborts in each of its callbacks; the end is told once, and last."""
    moments = ["made", "data", "eof", "pause"]
    if loop_kind != STDLIB:
        moments.append("resume")  # the standard transport closes twice then, and fails
    for moment in moments:
        for method in ("close", "abort"):

            class Closes(Recorder):
                when, how = moment, method

                def record(self, *event: object) -> None:
                    super().record(*event)
                    if event[0] == self.when:
                        getattr(self.transport, self.how)()

            with listening() as server:
                transport, protocol = await loop.create_connection(Closes, *server.getsockname())
                peer, _ = server.accept()
            peer.setblocking(False)
            with peer:
                if moment in ("pause", "resume"):
                    transport.write(bytes(10_000_000))
                    if not transport.is_closing():
                        while not protocol.count("resume"):
                            await loop.sock_recv(peer, 1 << 20)
                if not transport.is_closing():
                    await loop.sock_sendall(peer, b"data")
                    peer.shutdown(socket.SHUT_WR)
                else:
                    peer.close()
                await protocol.lost()
            assert protocol.names()[-1] == "lost"
            assert protocol.count("lost") == 1
            await end(transport, protocol)
