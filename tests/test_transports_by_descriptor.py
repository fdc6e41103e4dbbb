"""What a loop knows of its transports' descriptors, as asyncio's own code and tools look it up."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest
from support.loops import Loop
from support.net import connected, served, socket_pair, turns
from support.protocols import Recorder


class Other(asyncio.Transport):
    """Somebody else's transport."""

    def is_closing(self) -> bool:
        return False


def number(transport: Any) -> int:
    fd: int = transport.get_extra_info("socket").fileno()
    return fd


async def test_transports_are_found_by_their_descriptors(loop: Loop) -> None:
    known: Any = loop._transports  # type: ignore[attr-defined]
    async with (
        served(loop) as (_, address, protocols),
        connected(loop) as (client, _, _),
    ):
        other, protocol = await loop.create_connection(Recorder, *address)
        while not protocols or protocols[0].transport is None:
            await turns(1)
        transports = [client, other, protocols[0].transport]
        for transport in transports:
            fd = number(transport)
            assert fd in known
            assert known[fd] is known.get(fd) is transport
        assert len(known) == len(list(known)) == 3
        assert dict(known) == {number(transport): transport for transport in transports}
        assert sorted(known.values(), key=id) == sorted(transports, key=id)
        other.close()
        await protocol.lost()


async def test_what_has_no_transport_is_not_found(loop: Loop) -> None:
    known: Any = loop._transports  # type: ignore[attr-defined]
    for fd in (1, 10**6, -1, 10**30, "1", None):
        assert fd not in known
        assert known.get(fd) is None
        assert known.get(fd, "default") == "default"
        with pytest.raises(KeyError):
            known[fd]
    with pytest.raises(KeyError):
        del known[1]


async def test_a_transport_that_is_dropped_is_not_found(loop: Loop) -> None:
    known: Any = loop._transports  # type: ignore[attr-defined]
    async with connected(loop) as (transport, protocol, _):
        fd = number(transport)
        transport.abort()
        await protocol.lost()
        await turns(1)
        assert known.get(fd) is transport
    protocol.transport = None
    del transport, protocol
    gc.collect()
    assert fd not in known
    assert len(known) == 0


async def test_a_transport_that_ends_is_not_found_meanwhile(loop: Loop) -> None:
    known: Any = loop._transports  # type: ignore[attr-defined]
    found: list[Any] = []
    async with connected(loop) as (transport, protocol, _):
        fd = number(transport)
        watching = weakref.ref(transport, lambda _: found.append(known.get(fd)))
        transport.abort()
        await protocol.lost()
        await turns(1)
    protocol.transport = None
    del transport, protocol
    gc.collect()
    assert watching() is None
    assert found == [None]


async def test_a_descriptors_next_transport_is_found_while_the_last_one_lives(loop: Loop) -> None:
    known: Any = loop._transports  # type: ignore[attr-defined]
    with socket_pair() as (left, right), socket_pair() as (third, fourth):
        fd = left.fileno()
        first, protocol = await loop.create_connection(Recorder, sock=left)
        first.close()
        await protocol.lost()
        await turns(1)
        again = third.dup()
        assert again.fileno() == fd
        again.setblocking(False)
        second, protocol = await loop.create_connection(Recorder, sock=again)
        assert known[fd] is second
        del first
        gc.collect()
        assert known[fd] is second
        second.close()
        await protocol.lost()
        right.close()
        fourth.close()


async def test_what_is_set_is_found_as_long_as_it_lives(loop: Loop) -> None:
    known: Any = loop._transports  # type: ignore[attr-defined]
    with socket_pair() as (left, _):
        other = Other()
        known[left.fileno()] = other
        assert known[left.fileno()] is other
        assert dict(known) == {left.fileno(): other}
        with pytest.raises(RuntimeError, match="is used by transport"):
            loop.add_reader(left, print)
        with pytest.raises(RuntimeError, match="is used by transport"):
            await loop.sock_recv(left, 1)
        del other
        gc.collect()
        assert len(known) == 0
        transport, protocol = await loop.create_connection(Recorder, sock=left)
        assert dict(known) == {left.fileno(): transport}
        transport.close()
        await protocol.lost()


async def test_a_new_transport_is_found_instead_of_what_was_set(loop: Loop) -> None:
    known: Any = loop._transports  # type: ignore[attr-defined]
    with socket_pair() as (left, _):
        other = Other()
        other.is_closing = lambda: True  # type: ignore[method-assign]
        known[left.fileno()] = other
        transport, protocol = await loop.create_connection(Recorder, sock=left)
        assert known[left.fileno()] is transport
        transport.close()
        await protocol.lost()


async def test_what_is_removed_is_not_found_until_it_is_set_again(loop: Loop) -> None:
    known: Any = loop._transports  # type: ignore[attr-defined]
    async with connected(loop) as (transport, _, _):
        fd = number(transport)
        del known[fd]
        assert fd not in known
        assert len(known) == 0
        with pytest.raises(KeyError):
            del known[fd]
        known[fd] = transport
        assert dict(known) == {fd: transport}


async def test_what_cannot_be_referred_to_weakly_is_refused(loop: Loop) -> None:
    known: Any = loop._transports  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="cannot create weak reference"):
        known[1] = 1
    assert 1 not in known
