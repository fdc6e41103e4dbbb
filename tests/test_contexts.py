"""Context variables: which context each kind of callback runs in."""

from __future__ import annotations

import asyncio
import contextvars
import signal
import socket
import sys
import threading

import pytest
from support.loops import Loop
from support.net import connected, served, socket_pair, turns
from support.protocols import Recorder

name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="unset")


def in_context(value: str) -> contextvars.Context:
    context = contextvars.Context()
    context.run(name.set, value)
    return context


def test_callbacks_run_in_the_context_they_are_given(loop: Loop) -> None:
    seen: list[str] = []

    def note() -> None:
        seen.append(name.get())

    loop.call_soon(note, context=in_context("soon"))
    loop.call_soon_threadsafe(note, context=in_context("threadsafe"))
    loop.call_at(loop.time() - 1, note, context=in_context("at"))
    loop.call_later(0, note, context=in_context("later"))
    loop.run_until_complete(asyncio.sleep(0.001))
    assert seen == ["soon", "threadsafe", "at", "later"]


def test_callbacks_run_in_a_copy_of_the_current_context_otherwise(loop: Loop) -> None:
    seen: list[str] = []

    def note() -> None:
        seen.append(name.get())
        name.set("changed by a callback")

    def schedule() -> None:
        name.set("when scheduled")
        loop.call_soon(note)
        loop.call_soon_threadsafe(note)
        loop.call_at(loop.time() - 1, note)
        loop.call_later(0, note)
        name.set("after scheduling")

    contextvars.Context().run(schedule)
    loop.run_until_complete(asyncio.sleep(0.001))
    assert seen == ["when scheduled"] * 4
    assert name.get() == "unset"


def test_a_given_context_keeps_what_the_callback_sets(loop: Loop) -> None:
    context = in_context("given")
    loop.call_soon(name.set, "set by the callback", context=context)
    loop.stop()
    loop.run_forever()
    assert context[name] == "set by the callback"


def test_two_callbacks_may_share_a_context(loop: Loop) -> None:
    context = contextvars.Context()
    seen: list[str] = []
    loop.call_soon(name.set, "from the first", context=context)
    loop.call_soon(lambda: seen.append(name.get()), context=context)
    loop.stop()
    loop.run_forever()
    assert seen == ["from the first"]


def test_no_context_means_the_current_one(loop: Loop) -> None:
    seen: list[str] = []
    in_context("current").run(lambda: loop.call_soon(lambda: seen.append(name.get()), context=None))
    loop.stop()
    loop.run_forever()
    assert seen == ["current"]


def test_a_callback_given_the_context_it_is_scheduled_from_can_run(loop: Loop) -> None:
    seen: list[str] = []
    context = in_context("same")

    def first() -> None:
        loop.call_soon(lambda: seen.append(name.get()), context=context)

    loop.call_soon(first, context=context)
    loop.stop()
    loop.run_forever()
    loop.stop()
    loop.run_forever()
    assert seen == ["same"]


def test_a_failing_callback_leaves_the_context(loop: Loop) -> None:
    loop.set_exception_handler(lambda loop, context: None)
    context = contextvars.Context()

    def fail() -> None:
        raise LookupError

    loop.call_soon(fail, context=context)
    loop.stop()
    loop.run_forever()
    context.run(lambda: None)  # raises if it were still entered


async def test_readers_and_writers_run_in_the_context_of_their_adding(loop: Loop) -> None:
    seen: list[str] = []
    with socket_pair() as (left, right):
        name.set("adding")
        written = loop.create_future()

        def write() -> None:
            seen.append(f"writer {name.get()}")
            loop.remove_writer(left)
            written.set_result(None)

        read = loop.create_future()

        def reader() -> None:
            seen.append(f"reader {name.get()}")
            loop.remove_reader(left)
            read.set_result(None)

        loop.add_writer(left, write)
        loop.add_reader(left, reader)
        name.set("later")
        await written
        right.send(b"x")
        await read
    assert seen == ["writer adding", "reader adding"]


async def test_a_reader_keeps_what_it_sets_from_call_to_call(loop: Loop) -> None:
    seen: list[str] = []
    with socket_pair() as (left, right):
        done = loop.create_future()

        def reader() -> None:
            left.recv(1)
            seen.append(name.get())
            name.set(f"{len(seen)} set")
            if len(seen) == 3:
                loop.remove_reader(left)
                done.set_result(None)

        loop.add_reader(left, reader)
        right.send(b"xyz")
        await done
    assert seen == ["unset", "1 set", "2 set"]


async def test_signal_handlers_run_in_a_copy_of_the_context_of_their_adding(loop: Loop) -> None:
    seen: list[str] = []
    name.set("adding")
    done = loop.create_future()

    def handler() -> None:
        seen.append(name.get())
        done.set_result(None)

    loop.add_signal_handler(signal.SIGUSR1, handler)
    try:
        name.set("later")
        signal.raise_signal(signal.SIGUSR1)
        await done
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)
    assert seen == ["adding"]


class ContextRecorder(Recorder):
    """Notes the context variable with each call."""

    def record(self, *event: object) -> None:
        super().record(*event, name.get())


async def test_a_clients_protocol_sees_the_context_of_create_connection(loop: Loop) -> None:
    name.set("connecting")
    async with connected(loop, ContextRecorder) as (_, protocol, peer):
        name.set("later")
        peer.send(b"x")
        await protocol.got(1)
        peer.close()
        await protocol.lost()
    assert [(event[0], event[-1]) for event in protocol.events] == [
        ("made", "connecting"),
        ("data", "connecting"),
        ("eof", "connecting"),
        ("lost", "connecting"),
    ]


async def test_a_servers_protocols_see_the_context_of_create_server(loop: Loop) -> None:
    name.set("serving")
    async with served(loop, ContextRecorder) as (_, address, protocols):
        name.set("later")
        with socket.create_connection(address) as peer:
            peer.send(b"x")
            await turns(1)
            while not protocols:
                await asyncio.sleep(0)
            await protocols[0].got(1)
        await protocols[0].lost()
    assert {event[-1] for event in protocols[0].events} == {"serving"}


class ContextCounter(ContextRecorder):
    """Adds a mark to the context variable with each call."""

    def record(self, *event: object) -> None:
        super().record(*event)
        name.set(name.get() + "+")


async def test_what_a_servers_protocol_sets_stays_with_its_connection(loop: Loop) -> None:
    name.set("serving")
    async with served(loop, ContextCounter) as (_, address, protocols):
        for connection in range(2):
            with socket.create_connection(address) as peer:
                peer.send(b"x")
                while len(protocols) == connection:
                    await asyncio.sleep(0)
                await protocols[connection].got(1)
            await protocols[connection].lost()
    for protocol in protocols:
        seen = {event[0]: event[-1] for event in protocol.events}
        assert seen["made"] == "serving"
        if sys.version_info >= (3, 15):
            # All callbacks of a connection run in one context of its own.
            assert seen == {"made": "serving", "data": "serving+", "eof": "serving++"} | {
                "lost": "serving+++"
            }
        else:
            assert seen["data"] == "serving"
    assert name.get() == "serving"


@pytest.mark.skipif(sys.version_info < (3, 15), reason="connections have a context from 3.15 on")
async def test_what_a_clients_protocol_sets_stays_with_its_connection(loop: Loop) -> None:
    name.set("connecting")
    async with connected(loop, ContextCounter) as (_, protocol, peer):
        name.set("later")
        peer.send(b"x")
        await protocol.got(1)
        peer.close()
        await protocol.lost()
    assert [(event[0], event[-1]) for event in protocol.events] == [
        ("made", "connecting"),
        ("data", "connecting+"),
        ("eof", "connecting++"),
        ("lost", "connecting+++"),
    ]
    assert name.get() == "later"


async def test_start_server_handlers_run_each_in_a_context_of_their_own(loop: Loop) -> None:
    seen: list[str] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(name.get())
        name.set("set by a handler")
        writer.close()
        await writer.wait_closed()

    name.set("serving")
    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        for _ in range(2):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
    assert seen == ["serving", "serving"]


async def test_to_thread_carries_the_context_and_run_in_executor_does_not(loop: Loop) -> None:
    name.set("caller")
    assert await asyncio.to_thread(name.get) == "caller"
    assert await loop.run_in_executor(None, name.get) == "unset"


def test_the_context_of_a_thread_reaches_run_coroutine_threadsafe(loop: Loop) -> None:
    seen: list[str] = []

    async def ask() -> None:
        seen.append(name.get())
        loop.stop()

    def push() -> None:
        name.set("thread")
        asyncio.run_coroutine_threadsafe(ask(), loop)

    thread = threading.Thread(target=push)
    thread.start()
    loop.run_forever()
    thread.join()
    assert seen == ["thread"]
    loop.stop()
    loop.run_forever()


async def test_done_callbacks_of_executors_run_on_the_loop(loop: Loop) -> None:
    name.set("adding")
    seen: list[str] = []
    told = threading.Event()
    future = loop.run_in_executor(None, told.wait)
    future.add_done_callback(lambda done: seen.append(name.get()))
    name.set("later")
    told.set()
    await future
    assert seen == ["adding"]
