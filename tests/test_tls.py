"""TLS: servers, connections, payloads, flow control, and handshakes that fail."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.certificates import Certificates
from support.loops import Loop
from support.net import listening, turns
from support.protocols import Echo, Recorder, Watched


@asynccontextmanager
async def tls_server(
    loop: Loop, certificates: Certificates
) -> AsyncIterator[tuple[tuple[str, int], list[Echo]]]:
    """An echo server that speaks TLS; its address and the protocols it made."""
    protocols: list[Echo] = []

    def factory() -> Echo:
        protocols.append(Echo())
        return protocols[-1]

    server = await loop.create_server(factory, "127.0.0.1", 0, ssl=certificates.server_context())
    try:
        yield server.sockets[0].getsockname(), protocols
    finally:
        server.close()
        for protocol in protocols:
            if protocol.transport is not None:
                if not protocol.count("lost"):
                    protocol.transport.abort()
                await protocol.lost()
        await server.wait_closed()
        await turns(5)


async def closed(transport: asyncio.Transport, protocol: Watched) -> BaseException | None:
    """Close, wait for the end, and let both sides let go of their sockets."""
    transport.close()
    error = await protocol.lost()
    await turns(5)
    return error


async def test_a_server_echoes_over_tls(loop: Loop, certificates: Certificates) -> None:
    async with tls_server(loop, certificates) as (address, _):
        transport, protocol = await loop.create_connection(
            Recorder, *address, ssl=certificates.client_context(), server_hostname="localhost"
        )
        transport.write(b"secret")
        assert await protocol.got(6) == b"secret"
        assert await closed(transport, protocol) is None
        assert protocol.names()[0] == "made"


async def test_extra_info_tells_of_the_session(loop: Loop, certificates: Certificates) -> None:
    async with tls_server(loop, certificates) as (address, _):
        transport, protocol = await loop.create_connection(
            Recorder, *address, ssl=certificates.client_context(), server_hostname="localhost"
        )
        assert isinstance(transport.get_extra_info("sslcontext"), ssl.SSLContext)
        assert isinstance(transport.get_extra_info("ssl_object"), ssl.SSLObject)
        assert transport.get_extra_info("cipher")[1].startswith("TLS")
        names = dict(transport.get_extra_info("peercert")["subjectAltName"])
        assert names["DNS"] == "localhost"
        assert transport.get_extra_info("peername") == address
        assert transport.get_extra_info("socket").fileno() > 0
        assert not transport.can_write_eof()
        await closed(transport, protocol)


async def test_a_plain_client_can_talk_to_the_server(
    loop: Loop, certificates: Certificates
) -> None:
    def talk(address: tuple[str, int]) -> bytes:
        with (
            socket.create_connection(address) as plain,
            certificates.client_context().wrap_socket(plain, server_hostname="localhost") as client,
        ):
            client.sendall(b"from the ssl module")
            received = b""
            while len(received) < 19:
                received += client.recv(100)
            client.unwrap()
            return received

    async with tls_server(loop, certificates) as (address, protocols):
        assert await loop.run_in_executor(None, talk, address) == b"from the ssl module"
        await protocols[0].lost()


@pytest.mark.parametrize("size", [1, 16_384, 16_385, 1_000_000, 8_000_000])
async def test_payloads_of_any_size_come_back_whole(
    loop: Loop, certificates: Certificates, size: int
) -> None:
    data = os.urandom(size)
    async with tls_server(loop, certificates) as (address, _):
        transport, protocol = await loop.create_connection(
            Recorder, *address, ssl=certificates.client_context(), server_hostname="localhost"
        )
        transport.write(data)
        received = await protocol.got(size)
        assert hashlib.sha256(received).digest() == hashlib.sha256(data).digest()
        await closed(transport, protocol)


async def test_many_small_writes_keep_their_order(loop: Loop, certificates: Certificates) -> None:
    async with tls_server(loop, certificates) as (address, _):
        transport, protocol = await loop.create_connection(
            Recorder, *address, ssl=certificates.client_context(), server_hostname="localhost"
        )
        pieces = [b"%05d" % number for number in range(2000)]
        for piece in pieces:
            transport.write(piece)
        transport.writelines([b"the", b" ", b"end"])
        assert await protocol.got(10_007) == b"".join(pieces) + b"the end"
        await closed(transport, protocol)


async def test_streams_over_tls(loop: Loop, certificates: Certificates) -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(shout, "127.0.0.1", 0, ssl=certificates.server_context())
    reader, writer = await asyncio.open_connection(
        *server.sockets[0].getsockname(),
        ssl=certificates.client_context(),
        server_hostname="localhost",
    )
    for _ in range(20):
        writer.write(b"quiet\n")
        assert await reader.readline() == b"QUIET\n"
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    await turns(5)


async def test_the_peers_close_is_an_end(loop: Loop, certificates: Certificates) -> None:
    async with tls_server(loop, certificates) as (address, protocols):
        transport, protocol = await loop.create_connection(
            Recorder, *address, ssl=certificates.client_context(), server_hostname="localhost"
        )
        transport.write(b"x")
        await protocol.got(1)
        protocols[0].transport.close()
        assert await protocol.lost() is None
        assert protocol.names() == ["made", "data", "eof", "lost"]
        assert transport.is_closing()


async def test_pause_and_resume_reading(loop: Loop, certificates: Certificates) -> None:
    async with tls_server(loop, certificates) as (address, _):
        transport, protocol = await loop.create_connection(
            Recorder, *address, ssl=certificates.client_context(), server_hostname="localhost"
        )
        transport.pause_reading()
        assert not transport.is_reading()
        transport.write(b"waits")
        await turns(20)
        assert protocol.received == b""
        transport.resume_reading()
        assert await protocol.got(5) == b"waits"
        await closed(transport, protocol)


async def test_flow_control_over_tls(loop: Loop, certificates: Certificates) -> None:
    async with tls_server(loop, certificates) as (address, protocols):
        transport, protocol = await loop.create_connection(
            Recorder, *address, ssl=certificates.client_context(), server_hostname="localhost"
        )
        transport.write(b"x")
        await protocol.got(1)
        protocols[0].transport.pause_reading()
        written = 1
        while not protocol.count("pause"):
            transport.write(bytes(100_000))
            written += 100_000
            assert written < 100_000_000
            await turns(1)
        protocols[0].transport.resume_reading()
        await protocol.happened("resume")
        await protocol.got(written)
        await closed(transport, protocol)


async def test_a_wrong_host_name_is_refused(loop: Loop, certificates: Certificates) -> None:
    loop.set_debug(False)  # in debug mode the server reports the client that hung up
    async with tls_server(loop, certificates) as (address, _):
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            await loop.create_connection(
                Recorder,
                *address,
                ssl=certificates.client_context(),
                server_hostname="elsewhere.example",
            )
        await turns(20)


async def test_an_unknown_authority_is_refused(loop: Loop, certificates: Certificates) -> None:
    loop.set_debug(False)
    async with tls_server(loop, certificates) as (address, _):
        with pytest.raises(ssl.SSLCertVerificationError):
            await loop.create_connection(
                Recorder, *address, ssl=ssl.create_default_context(), server_hostname="localhost"
            )
        await turns(20)


async def test_a_peer_that_does_not_speak_tls(loop: Loop, certificates: Certificates) -> None:
    with listening() as server:
        connecting = loop.create_task(
            loop.create_connection(
                Recorder,
                *server.getsockname(),
                ssl=certificates.client_context(),
                server_hostname="localhost",
            )
        )
        await turns(5)
        peer, _ = server.accept()
        with peer:
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            with pytest.raises(ssl.SSLError):
                await connecting
        await turns(5)


async def test_a_handshake_that_takes_too_long(loop: Loop, certificates: Certificates) -> None:
    with listening() as server:
        with pytest.raises(ConnectionAbortedError, match="SSL handshake is taking longer than"):
            await loop.create_connection(
                Recorder,
                *server.getsockname(),
                ssl=certificates.client_context(),
                server_hostname="localhost",
                ssl_handshake_timeout=0.05,
            )
        await turns(5)


async def test_a_peer_that_goes_away_in_the_handshake(
    loop: Loop, certificates: Certificates
) -> None:
    with listening() as server:
        connecting = loop.create_task(
            loop.create_connection(
                Recorder,
                *server.getsockname(),
                ssl=certificates.client_context(),
                server_hostname="localhost",
            )
        )
        await turns(5)
        peer, _ = server.accept()
        peer.close()
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await connecting
        await turns(5)


async def test_cancelling_the_handshake_in_any_turn_leaks_nothing(
    loop: Loop, certificates: Certificates
) -> None:
    loop.set_debug(False)
    async with tls_server(loop, certificates) as (address, _):
        for after in range(10):
            connecting = loop.create_task(
                loop.create_connection(
                    Recorder,
                    *address,
                    ssl=certificates.client_context(),
                    server_hostname="localhost",
                )
            )
            await turns(after)
            connecting.cancel()
            try:
                transport, protocol = await connecting
            except asyncio.CancelledError:
                continue
            await closed(transport, protocol)
        await turns(50)


async def test_fifty_clients_at_once(loop: Loop, certificates: Certificates) -> None:
    context = certificates.client_context()
    async with tls_server(loop, certificates) as (address, _):

        async def ask(number: int) -> None:
            transport, protocol = await loop.create_connection(
                Recorder, *address, ssl=context, server_hostname="localhost"
            )
            payload = b"%04d" % number * 1000
            transport.write(payload)
            assert await protocol.got(len(payload)) == payload
            transport.close()
            await protocol.lost()

        await asyncio.gather(*(ask(number) for number in range(50)))
        await turns(10)
