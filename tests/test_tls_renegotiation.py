"""A second handshake in the midst of a TLS 1.2 connection, asked for by the openssl program."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
from collections.abc import AsyncIterator

import pytest
from support.certificates import Certificates
from support.loops import Loop
from support.net import turns
from support.openssl import OpenSSL, openssl
from support.protocols import Echo, Recorder

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="the openssl program is not installed"
)


async def test_a_client_that_asks_for_it_is_refused(loop: Loop, certificates: Certificates) -> None:
    protocols: list[Echo] = []

    def factory() -> Echo:
        protocols.append(Echo())
        return protocols[-1]

    context = certificates.server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    server = await loop.create_server(factory, "127.0.0.1", 0, ssl=context)
    _, port = server.sockets[0].getsockname()
    async with openssl("s_client", "-brief", "-connect", f"127.0.0.1:{port}") as client:
        client.type("hello")
        await client.says("hello")
        client.type("R")
        await client.says("RENEGOTIATING")
        assert await client.exits() != 0
        error = await protocols[0].lost()
    # The refusal is a warning; it is the client that does not go on then.
    assert isinstance(error, ssl.SSLError)
    assert "handshake failure" in str(error)
    assert bytes(protocols[0].received) == b"hello\n"
    server.close()
    await server.wait_closed()
    await turns(5)


@contextlib.asynccontextmanager
async def connected_to_openssl(
    loop: Loop, certificates: Certificates, *, options: int = 0
) -> AsyncIterator[tuple[OpenSSL, asyncio.Transport, Recorder]]:
    """A connection to an openssl server that speaks TLS 1.2."""
    context = certificates.client_context()
    context.options |= options
    certificate = str(certificates.certificate)
    async with openssl(
        *("s_server", "-tls1_2", "-accept", "127.0.0.1:0"),
        *("-cert", certificate, "-key", certificate),
    ) as server:
        port = (await server.says("ACCEPT")).rpartition(":")[2]
        transport, protocol = await loop.create_connection(
            Recorder, "127.0.0.1", int(port), ssl=context, server_hostname="localhost"
        )
        transport.write(b"hello\n")
        await server.says("hello")
        server.type("before")
        await protocol.got(7)
        yield server, transport, protocol
        transport.close()
        await protocol.lost()
        await turns(5)


async def test_a_server_that_asks_for_it_gets_it(loop: Loop, certificates: Certificates) -> None:
    async with connected_to_openssl(loop, certificates) as (server, transport, protocol):
        server.type("r")
        await server.says("SSL_do_handshake -> 1")
        server.type("after")
        assert await protocol.got(13) == b"before\nafter\n"
        transport.write(b"still here\n")
        await server.says("still here")
        assert not protocol.count("lost")


async def test_a_server_that_asks_for_it_is_refused_if_the_context_says_so(
    loop: Loop, certificates: Certificates
) -> None:
    async with connected_to_openssl(loop, certificates, options=ssl.OP_NO_RENEGOTIATION) as (
        server,
        transport,
        protocol,
    ):
        server.type("r")
        await server.says("no renegotiation")
        error = await protocol.lost()
        assert isinstance(error, ssl.SSLError)
        assert "handshake failure" in str(error)
        assert bytes(protocol.received) == b"before\n"
        assert transport.is_closing()
