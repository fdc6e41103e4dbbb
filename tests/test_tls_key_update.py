"""TLS 1.3: new keys in the midst of a connection, which the openssl program asks for."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.certificates import Certificates
from support.loops import Loop
from support.net import served, turns
from support.openssl import OpenSSL, openssl
from support.protocols import Echo, Recorder

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="the openssl program is not installed"
)

ASK, TELL = "K", "k"
"""What is typed to openssl: it has new keys, and asks for the other side's or not."""


@contextlib.asynccontextmanager
async def openssl_client(
    loop: Loop, certificates: Certificates
) -> AsyncIterator[tuple[OpenSSL, Any]]:
    """An openssl client of an echo server, whose protocol comes with it."""
    async with (
        served(loop, Echo, ssl=certificates.server_context()) as (_, (_, port), protocols),
        openssl("s_client", "-msg", "-tls1_3", "-connect", f"127.0.0.1:{port}") as client,
    ):
        client.type("hello")
        await client.says("hello")
        yield client, protocols[0]
        protocols[0].transport.abort()
        await protocols[0].lost()
        await turns(5)


@contextlib.asynccontextmanager
async def openssl_server(
    loop: Loop, certificates: Certificates
) -> AsyncIterator[tuple[OpenSSL, asyncio.Transport, Recorder]]:
    """An openssl server, and the transport and protocol of its client."""
    certificate = str(certificates.certificate)
    async with openssl(
        *("s_server", "-msg", "-tls1_3", "-accept", "127.0.0.1:0"),
        *("-cert", certificate, "-key", certificate),
    ) as server:
        port = (await server.says("ACCEPT")).rpartition(":")[2]
        transport, protocol = await loop.create_connection(
            Recorder,
            *("127.0.0.1", int(port)),
            ssl=certificates.client_context(),
            server_hostname="localhost",
        )
        transport.write(b"hello\n")
        await server.says("hello")
        yield server, transport, protocol
        transport.abort()
        await protocol.lost()
        await turns(5)


@pytest.mark.parametrize("command", [ASK, TELL])
async def test_a_client_may_have_new_keys(
    loop: Loop, certificates: Certificates, command: str
) -> None:
    async with openssl_client(loop, certificates) as (client, protocol):
        for word in ("one", "two", "three"):
            client.type(command)
            await client.says(">>> TLS 1.3, Handshake [length 0005], KeyUpdate")
            client.type(word)
            if command == ASK:  # which is done before the next data is sent
                await client.says("<<< TLS 1.3, Handshake [length 0005], KeyUpdate")
            await client.says(word)
        assert protocol.received == b"hello\none\ntwo\nthree\n"


@pytest.mark.parametrize("command", [ASK, TELL])
async def test_a_server_may_have_new_keys(
    loop: Loop, certificates: Certificates, command: str
) -> None:
    async with openssl_server(loop, certificates) as (server, transport, protocol):
        for number, word in enumerate(["one", "two", "six"], start=1):
            server.type(command)
            await server.says(">>> TLS 1.3, Handshake [length 0005], KeyUpdate")
            server.type(word)
            await protocol.got(4 * number)
            transport.write(f"heard {word}\n".encode())
            if command == ASK:
                await server.says("<<< TLS 1.3, Handshake [length 0005], KeyUpdate")
            await server.says(f"heard {word}")
        assert protocol.received == b"one\ntwo\nsix\n"
        assert protocol.names() == ["made", "data", "data", "data"]


async def test_new_keys_while_reading_is_paused(loop: Loop, certificates: Certificates) -> None:
    async with openssl_server(loop, certificates) as (server, transport, protocol):
        transport.pause_reading()
        server.type(ASK)
        await server.says(">>> TLS 1.3, Handshake [length 0005], KeyUpdate")
        server.type("waits")
        transport.write(b"written meanwhile\n")
        await server.says("written meanwhile")
        assert protocol.received == b""
        transport.resume_reading()
        assert await protocol.got(6) == b"waits\n"
        transport.write(b"after that\n")
        await server.says("after that")
