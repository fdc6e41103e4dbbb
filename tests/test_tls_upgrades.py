"""TLS begun in the midst of data, within TLS, and under streams, with large data."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from support.certificates import Certificates
from support.loops import STDLIB, Loop
from support.net import turns
from support.protocols import Recorder
from support.tls_peer import VERSIONS, Buffered, TLSPeer, ended, speaking, taken

both_versions = pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def upgraded(
    loop: Loop, certificates: Certificates, client: Any, server: Any
) -> tuple[Any, Any]:
    """Go on in TLS on both sides, with the same protocols."""
    return await asyncio.gather(
        loop.start_tls(
            client,
            client.get_protocol(),
            certificates.client_context(),
            server_hostname="localhost",
        ),
        loop.start_tls(
            server, server.get_protocol(), certificates.server_context(), server_side=True
        ),
    )


async def two_sides(loop: Loop, factory: Callable[[], Any] = Recorder) -> tuple[Any, Any]:
    """Plain transports that are connected to each other."""
    ours, theirs = socket.socketpair()
    client, _ = await loop.connect_accepted_socket(factory, ours)
    server, _ = await loop.connect_accepted_socket(factory, theirs)
    return client, server


async def both_end(client: Any, server: Any) -> None:
    """Close one side; both must hear of the end."""
    protocols = [transport.get_protocol() for transport in (client, server)]
    client.close()
    for protocol in protocols:
        assert await protocol.lost() is None
    await turns(5)


@asynccontextmanager
async def layers_of_tls(
    loop: Loop, certificates: Certificates, factory: Callable[[], Any], *, layers: int
) -> AsyncIterator[tuple[Any, Any]]:
    """Transports with so many layers of TLS that are connected to each other."""
    client, server = await two_sides(loop, factory)
    for _ in range(layers):
        client, server = await upgraded(loop, certificates, client, server)
    yield client, server
    await both_end(client, server)


@pytest.mark.parametrize("factory", [Recorder, Buffered])
@pytest.mark.parametrize("layers", [1, 2, 3])
async def test_layers_of_tls_carry_large_data_both_ways(
    loop: Loop, certificates: Certificates, factory: Any, layers: int
) -> None:
    to_server, to_client = os.urandom(3_000_000), os.urandom(3_000_000)
    async with layers_of_tls(loop, certificates, factory, layers=layers) as (client, server):
        client.write(to_server)
        for start in range(0, len(to_client), 10_000):
            server.write(to_client[start : start + 10_000])
        assert digest(await server.get_protocol().got(3_000_000)) == digest(to_server)
        assert digest(await client.get_protocol().got(3_000_000)) == digest(to_client)
        assert client.get_extra_info("ssl_object") is not None


async def test_a_layer_may_be_added_in_the_midst_of_data(
    loop: Loop, certificates: Certificates
) -> None:
    top = await two_sides(loop)
    at_client, at_server = (transport.get_protocol() for transport in top)
    expected = b""
    for word in (b"plain", b"secret", b"twice secret"):
        expected += word * 20_000
        for transport in top:
            transport.write(word * 20_000)
        assert await at_server.got(len(expected)) == expected
        assert await at_client.got(len(expected)) == expected
        top = await upgraded(loop, certificates, *top)
    top[0].write(b"end")
    assert await at_server.got(len(expected) + 3) == expected + b"end"
    await both_end(*top)


@pytest.mark.parametrize("pause", [True, False])
async def test_a_paused_reader_within_tls_stops_its_peer(
    loop: Loop, certificates: Certificates, pause: bool
) -> None:
    data = os.urandom(5_000_000)
    async with layers_of_tls(loop, certificates, Recorder, layers=2) as (client, server):
        at_client, at_server = client.get_protocol(), server.get_protocol()
        if pause:
            server.pause_reading()
        written = 0
        while written < len(data):
            client.write(data[written : written + 50_000])
            written += 50_000
            if not pause:
                await turns(1)
        if pause:
            await at_client.happened("pause")
            await turns(20)
            assert at_server.received == b""
            server.resume_reading()
        assert digest(await at_server.got(len(data))) == digest(data)
        assert at_client.count("pause") == at_client.count("resume")


@both_versions
async def test_data_that_comes_with_the_end_of_the_handshake(
    loop: Loop, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        peer = TLSPeer(
            loop,
            theirs,
            speaking(certificates.client_context(), version),
            server_hostname="localhost",
        )
        plain, protocol = await loop.connect_accepted_socket(Recorder, ours)
        await loop.sock_sendall(theirs, b"plain")
        await protocol.got(5)
        upgrading = loop.create_task(
            loop.start_tls(plain, protocol, certificates.server_context(), server_side=True)
        )
        await peer.handshake()
        last = peer.outgoing.read()
        await peer.send(last + peer.record(b" and ") + peer.record(b"secret"))
        transport = await upgrading
        assert transport is not None
        assert await protocol.got(16) == b"plain and secret"
        assert protocol.count("made") == 1
        transport.write(b"answer")
        assert await peer.receive(6) == b"answer"
        await peer.send(peer.record(b"!") + peer.goodbye())
        assert await protocol.lost() is None
        assert protocol.names()[-3:] == ["data", "eof", "lost"]
        await turns(5)


async def test_the_transport_below_may_be_paused_with_data_in_it(
    loop: Loop, certificates: Certificates
) -> None:
    """What the plain transport is told after the upgrade holds for what it carries, too."""
    ours, theirs = socket.socketpair()
    with theirs:
        peer = TLSPeer(loop, theirs, certificates.client_context(), server_hostname="localhost")
        plain, protocol = await loop.connect_accepted_socket(Recorder, ours)
        upgrading = loop.create_task(
            loop.start_tls(plain, protocol, certificates.server_context(), server_side=True)
        )
        await peer.handshake()
        await peer.send()
        transport: Any = await upgrading
        await taken(transport)
        plain.pause_reading()
        await peer.send(peer.record(b"waits"))
        await turns(5)
        assert protocol.received == b""
        plain.resume_reading()
        assert await protocol.got(5) == b"waits"
        await ended(transport)


# Streams


@both_versions
async def test_a_stream_may_be_upgraded_in_the_midst_of_data(
    loop: Loop, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    """With more data than the reader buffers, so that it pauses the transport."""
    data = os.urandom(2_000_000)
    done = loop.create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = await reader.readexactly(len(data))
        writer.write(b"go on\n")
        await writer.start_tls(certificates.server_context())
        received += await reader.readexactly(len(data))
        writer.write(received)
        await writer.drain()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        done.set_result(None)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1000)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), limit=1000)
    writer.write(data)
    assert await reader.readline() == b"go on\n"
    await writer.start_tls(
        speaking(certificates.client_context(), version), server_hostname="localhost"
    )
    writer.write(data)
    await writer.drain()
    assert digest(await reader.readexactly(2 * len(data))) == digest(data + data)
    writer.close()
    await writer.wait_closed()
    await done
    server.close()
    await server.wait_closed()
    await turns(5)


@both_versions
async def test_streams_carry_large_data_in_small_pieces(
    loop: Loop, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    lines = [b"%d " % number * 100 + b"\n" for number in range(3000)]

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(
        echo, "127.0.0.1", 0, ssl=certificates.server_context(), limit=5000
    )
    reader, writer = await asyncio.open_connection(
        *server.sockets[0].getsockname(),
        ssl=speaking(certificates.client_context(), version),
        server_hostname="localhost",
        limit=5000,
    )

    async def ask() -> None:
        for line in lines:
            writer.write(line)
            await writer.drain()

    asking = loop.create_task(ask())
    for line in lines:
        assert await reader.readline() == line
    await asking
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    await turns(10)


takes_a_handshake_over = "_stream_reader" in inspect.getsource(asyncio.BaseEventLoop.start_tls)


@both_versions
async def test_a_handshake_that_comes_ahead_of_the_upgrade_is_no_text(
    loop: Loop, loop_kind: str, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    """A client does not wait for an answer: what it says is in the stream's buffer by then."""
    if loop_kind == STDLIB and not takes_a_handshake_over:
        pytest.skip("this asyncio leaves the handshake to whoever reads the stream (gh-142352)")
    ours, theirs = socket.socketpair()
    with theirs:
        client = TLSPeer(
            loop,
            theirs,
            speaking(certificates.client_context(), version),
            server_hostname="localhost",
        )
        reader = asyncio.StreamReader()
        plain, protocol = await loop.connect_accepted_socket(
            lambda: asyncio.StreamReaderProtocol(reader), ours
        )
        with suppress(ssl.SSLWantReadError):
            client.tls.do_handshake()
        await loop.sock_sendall(theirs, b"upgrade\n" + client.outgoing.read())
        assert await reader.readline() == b"upgrade\n"
        upgrading = loop.create_task(
            loop.start_tls(plain, protocol, certificates.server_context(), server_side=True)
        )
        await client.handshake()
        await client.send(client.record(b"secret\n") + client.goodbye())
        transport = await upgrading
        assert transport is not None
        assert await reader.read() == b"secret\n"
        transport.close()
        await turns(5)


async def test_a_stream_protocol_that_is_none_by_its_contents_may_be_upgraded(
    loop: Loop, certificates: Certificates
) -> None:
    class Bare(asyncio.StreamReaderProtocol):
        def __init__(self) -> None:
            self.recorder = Recorder()

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.recorder.connection_made(transport)

        def data_received(self, data: bytes) -> None:
            self.recorder.data_received(data)

        def eof_received(self) -> None:
            self.recorder.eof_received()

        def connection_lost(self, exc: Exception | None) -> None:
            self.recorder.connection_lost(exc)

        def __del__(self) -> None:
            """For that of asyncio's class asks for what __init__ makes."""

    ours, theirs = socket.socketpair()
    client, _ = await loop.connect_accepted_socket(Recorder, ours)
    server, protocol = await loop.connect_accepted_socket(Bare, theirs)
    client, server = await upgraded(loop, certificates, client, server)
    client.write(b"secret")
    assert await protocol.recorder.got(6) == b"secret"
    client.close()
    assert await client.get_protocol().lost() is None
    assert await protocol.recorder.lost() is None
    await turns(5)
