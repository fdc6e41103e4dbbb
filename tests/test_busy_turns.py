"""A loop that is never idle: descriptors, timers and other threads get their share all the same."""

from __future__ import annotations

import asyncio
import socket
import threading

from support.loops import Loop


async def test_a_descriptor_is_seen_while_a_task_never_rests(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        seen: list[bytes] = []
        ours.setblocking(False)
        loop.add_reader(ours, lambda: seen.append(ours.recv(10)))
        theirs.send(b"here")
        while not seen:
            await asyncio.sleep(0)
        loop.remove_reader(ours)
    assert seen == [b"here"]


async def test_a_descriptor_is_seen_while_callbacks_never_rest(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        seen = loop.create_future()
        rounds = 0

        def again() -> None:
            nonlocal rounds
            rounds += 1
            if not seen.done():
                loop.call_soon(again)

        def read() -> None:
            loop.remove_reader(ours)
            seen.set_result(ours.recv(10))

        loop.add_reader(ours, read)
        loop.call_soon(again)
        loop.call_later(0.001, theirs.send, b"here")
        assert await seen == b"here"
        assert rounds > 1


async def test_a_timer_comes_due_while_a_task_never_rests(loop: Loop) -> None:
    due: list[float] = []
    when = loop.time() + 0.01
    loop.call_at(when, lambda: due.append(loop.time()))
    while not due:
        await asyncio.sleep(0)
    assert due[0] >= when


async def test_a_delay_of_zero_is_over_in_the_next_turn(loop: Loop) -> None:
    for _ in range(200):
        ran: list[str] = []
        loop.call_later(0, ran.append, "timer")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert ran == ["timer"]


async def test_what_a_transport_sends_is_received_in_the_next_turns(loop: Loop) -> None:
    received: list[bytes] = []

    class Receiver(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            received.append(data)

    ours, theirs = socket.socketpair()
    sender, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    receiver, _ = await loop.create_connection(Receiver, sock=theirs)
    for _ in range(300):
        received.clear()
        sender.write(b"token")
        for _ in range(3):
            await asyncio.sleep(0)
        assert received == [b"token"]
    for transport in (sender, receiver):
        transport.abort()
    await asyncio.sleep(0)


async def test_a_new_watch_is_looked_at_in_the_next_turns(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"here")
        for _ in range(300):
            seen: list[str] = []
            loop.add_reader(ours, seen.append, "ready")
            for _ in range(3):
                await asyncio.sleep(0)
            loop.remove_reader(ours)
            assert seen


async def test_another_thread_is_heard_while_a_task_never_rests(loop: Loop) -> None:
    heard: list[int] = []
    thread = threading.Thread(target=loop.call_soon_threadsafe, args=(heard.append, 1))
    thread.start()
    while not heard:
        await asyncio.sleep(0)
    thread.join()


def test_stop_ends_a_busy_loop_after_its_turn(loop: Loop) -> None:
    ran = 0

    def again() -> None:
        nonlocal ran
        ran += 1
        if ran == 5:
            loop.stop()
        if ran < 10:
            loop.call_soon(again)

    loop.call_soon(again)
    loop.run_forever()
    assert ran == 5
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert ran == 6
