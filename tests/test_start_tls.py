"""``start_tls``: a connection that is plain at first and secret from then on."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Certificates
from support.leaks import Strays
from support.loops import Loop
from support.net import listening, turns
from support.protocols import BufferedRecorder, Recorder


async def test_start_tls_upgrades_a_connection(loop: Loop, certificates: Certificates) -> None:
    """Both sides speak plain text first and agree to go on in TLS."""
    server_done = loop.create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"OK\n")
        await writer.drain()
        await writer.start_tls(certificates.server_context())
        assert await reader.readline() == b"secret\n"
        writer.write(b"whispered\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        server_done.set_result(None)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"STARTTLS\n")
    assert await reader.readline() == b"OK\n"
    await writer.start_tls(certificates.client_context(), server_hostname="localhost")
    assert writer.get_extra_info("ssl_object") is not None
    writer.write(b"secret\n")
    assert await reader.readline() == b"whispered\n"
    writer.close()
    await writer.wait_closed()
    await server_done
    server.close()
    await server.wait_closed()
    await turns(5)


async def test_start_tls_gives_a_new_transport_for_the_same_protocol(
    loop: Loop, certificates: Certificates
) -> None:
    received = loop.create_future()

    class Upgrades(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if data == b"upgrade":
                upgrading.append(loop.create_task(self.upgrade()))
            else:
                received.set_result(data)

        async def upgrade(self) -> None:
            self.transport.write(b"ok")
            self.transport = await loop.start_tls(
                self.transport, self, certificates.server_context(), server_side=True
            )

    upgrading: list[asyncio.Task[None]] = []
    server = await loop.create_server(Upgrades, "127.0.0.1", 0)
    transport, protocol = await loop.create_connection(Recorder, *server.sockets[0].getsockname())
    transport.write(b"upgrade")
    await protocol.got(2)
    upgraded = await loop.start_tls(
        transport, protocol, certificates.client_context(), server_hostname="localhost"
    )
    assert upgraded is not None
    assert upgraded is not transport
    assert upgraded.get_protocol() is protocol
    upgraded.write(b"secret")
    assert await received == b"secret"
    await asyncio.gather(*upgrading)
    upgraded.close()
    await protocol.lost()
    server.close()
    await server.wait_closed()
    await turns(10)


async def test_start_tls_checks_its_arguments(loop: Loop, certificates: Certificates) -> None:
    with listening() as server:
        transport, protocol = await loop.create_connection(Recorder, *server.getsockname())
    with pytest.raises(TypeError, match="sslcontext is expected to be an instance of ssl"):
        await loop.start_tls(transport, protocol, None)  # type: ignore[arg-type]
    transport.abort()
    await protocol.lost()
    await turns(3)


async def plain_pair(
    loop: Loop, factory: Callable[[], Any] = Recorder
) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Two plain transports that are connected to each other, each with its protocol."""
    ours, theirs = socket.socketpair()
    return (
        await loop.connect_accepted_socket(factory, ours),
        await loop.connect_accepted_socket(factory, theirs),
    )


async def upgraded_pair(
    loop: Loop, certificates: Certificates, factory: Callable[[], Any] = Recorder, **options: float
) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """As `plain_pair`, both upgraded: the client's side, then the server's."""
    (client, client_protocol), (server, server_protocol) = await plain_pair(loop, factory)
    client, server = await asyncio.gather(
        loop.start_tls(
            client,
            client_protocol,
            certificates.client_context(),
            server_hostname="localhost",
            **options,
        ),
        loop.start_tls(
            server, server_protocol, certificates.server_context(), server_side=True, **options
        ),
    )
    client_protocol.transport, server_protocol.transport = client, server
    return (client, client_protocol), (server, server_protocol)


async def both_end(*protocols: Any) -> None:
    """Close the first; both must hear of the end."""
    protocols[0].transport.close()
    for protocol in protocols:
        assert await protocol.lost() is None
    await turns(5)


async def test_both_sides_of_a_socket_pair(loop: Loop, certificates: Certificates) -> None:
    (client, theirs), (server, ours) = await upgraded_pair(loop, certificates)
    data = os.urandom(500_000)
    client.write(data)
    server.write(data[::-1])
    assert await ours.got(len(data)) == data
    assert await theirs.got(len(data)) == data[::-1]
    assert theirs.names().count("made") == 1  # it was connected before
    assert client.get_extra_info("peercert")["subjectAltName"][0] == ("DNS", "localhost")
    assert server.get_extra_info("ssl_object").server_side
    await both_end(theirs, ours)


async def test_buffered_protocols(loop: Loop, certificates: Certificates) -> None:
    (client, theirs), (_, ours) = await upgraded_pair(loop, certificates, BufferedRecorder)
    data = os.urandom(100_000)
    client.write(data)
    assert await ours.got(len(data)) == data
    await both_end(theirs, ours)


async def test_the_plain_transport_may_not_be_used_any_more_but_for_its_end(
    loop: Loop, certificates: Certificates
) -> None:
    (plain, protocol), (other, other_protocol) = await plain_pair(loop)
    secret: Any
    secret, _ = await asyncio.gather(
        loop.start_tls(plain, protocol, certificates.server_context(), server_side=True),
        loop.start_tls(
            other, other_protocol, certificates.client_context(), server_hostname="localhost"
        ),
    )
    assert secret is not plain
    assert plain.get_protocol() is not protocol
    assert secret.get_protocol() is protocol
    assert secret.get_extra_info("socket").fileno() == plain.get_extra_info("socket").fileno()
    plain.abort()
    await protocol.lost()
    await other_protocol.lost()
    assert secret.is_closing()
    await turns(5)


async def test_what_was_written_before_goes_out_in_plain(
    loop: Loop, certificates: Certificates
) -> None:
    ours, theirs = socket.socketpair()
    transport, protocol = await loop.connect_accepted_socket(Recorder, ours)
    with theirs:
        theirs.setblocking(False)
        transport.write(b"plain " * 8_000)
        upgrading = loop.create_task(
            loop.start_tls(
                transport, protocol, certificates.client_context(), server_hostname="localhost"
            )
        )
        received = bytearray()
        while len(received) <= 48_000:
            received += await loop.sock_recv(theirs, 65536)
        assert received[:48_000] == b"plain " * 8_000
        assert received[48_000:][:2] == b"\x16\x03"  # a handshake record follows
        upgrading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upgrading
    transport.abort()
    await turns(5)


async def test_tls_within_tls(loop: Loop, certificates: Certificates) -> None:
    (client, theirs), (server, ours) = await upgraded_pair(loop, certificates)
    inner_client: Any
    inner_client, inner_server = await asyncio.gather(
        loop.start_tls(client, theirs, certificates.client_context(), server_hostname="localhost"),
        loop.start_tls(server, ours, certificates.server_context(), server_side=True),
    )
    theirs.transport, ours.transport = inner_client, inner_server
    inner_client.write(b"twice secret")
    assert await ours.got(12) == b"twice secret"
    await both_end(theirs, ours)


async def test_over_a_unix_socket(loop: Loop, certificates: Certificates, tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.start_tls(certificates.server_context())
        writer.write((await reader.readline()).upper())
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_unix_server(serve, tmp_path / "socket")
    reader, writer = await asyncio.open_unix_connection(tmp_path / "socket")
    await writer.start_tls(certificates.client_context(), server_hostname="localhost")
    writer.write(b"over a path\n")
    assert await reader.read() == b"OVER A PATH\n"
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    await turns(5)


@pytest.mark.parametrize("server_side", [True, False])
async def test_a_peer_that_never_answers(
    loop: Loop, certificates: Certificates, server_side: bool
) -> None:
    (transport, protocol), (_, other_protocol) = await plain_pair(loop)
    context = certificates.server_context() if server_side else certificates.client_context()
    with pytest.raises(ConnectionAbortedError, match="SSL handshake is taking longer than 0.05"):
        await loop.start_tls(
            transport,
            protocol,
            context,
            server_side=server_side,
            server_hostname=None if server_side else "localhost",
            ssl_handshake_timeout=0.05,
        )
    assert transport.is_closing()
    await other_protocol.lost()
    await turns(5)


async def test_a_certificate_that_is_not_trusted(
    loop: Loop, certificates: Certificates, strays: Strays
) -> None:
    loop.set_debug(False)
    (client, theirs), (server, ours) = await plain_pair(loop)
    outcomes = await asyncio.gather(
        loop.start_tls(client, theirs, ssl.create_default_context(), server_hostname="localhost"),
        loop.start_tls(server, ours, certificates.server_context(), server_side=True),
        return_exceptions=True,
    )
    assert isinstance(outcomes[0], ssl.SSLCertVerificationError)
    # TLS 1.3 lets a server finish before it hears of the client's verdict.
    if isinstance(outcomes[1], asyncio.Transport):
        assert isinstance(await ours.lost(), ssl.SSLError | ConnectionError)
    else:
        assert isinstance(outcomes[1], ssl.SSLError | ConnectionError)
    assert client.is_closing()
    await turns(5)


async def test_a_peer_that_goes_away(loop: Loop, certificates: Certificates) -> None:
    (transport, protocol), (other, other_protocol) = await plain_pair(loop)
    upgrading = loop.create_task(
        loop.start_tls(transport, protocol, certificates.server_context(), server_side=True)
    )
    await turns(2)
    other.abort()
    with pytest.raises((ConnectionError, ssl.SSLError)):
        await upgrading
    await other_protocol.lost()
    await turns(5)


async def test_cancelled_in_any_turn_it_leaves_nothing(
    loop: Loop, certificates: Certificates
) -> None:
    loop.set_debug(False)
    for after in range(8):
        (client, theirs), (server, ours) = await plain_pair(loop)
        upgrading = [
            loop.create_task(
                loop.start_tls(
                    client, theirs, certificates.client_context(), server_hostname="localhost"
                )
            ),
            loop.create_task(
                loop.start_tls(server, ours, certificates.server_context(), server_side=True)
            ),
        ]
        await turns(after)
        upgrading[after % 2].cancel()
        await turns(2)
        for transport in (client, server):
            transport.abort()
        await asyncio.gather(*upgrading, return_exceptions=True)
        await turns(5)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"ssl_handshake_timeout": 0}, ValueError, "should be a positive number, got 0"),
        ({"ssl_handshake_timeout": -1}, ValueError, "should be a positive number, got -1"),
        ({"ssl_shutdown_timeout": 0}, ValueError, "should be a positive number, got 0"),
    ],
)
async def test_timeouts_that_make_no_sense(
    loop: Loop, certificates: Certificates, wrong: Any, error: type[Exception], message: str
) -> None:
    (transport, protocol), (_, other_protocol) = await plain_pair(loop)
    with pytest.raises(error, match=message):
        await loop.start_tls(transport, protocol, certificates.client_context(), **wrong)
    await both_end(protocol, other_protocol)


async def test_transports_that_cannot_be_upgraded(loop: Loop, certificates: Certificates) -> None:
    transport, protocol = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    with pytest.raises(TypeError, match="is not supported by start_tls"):
        await loop.start_tls(transport, protocol, certificates.client_context())  # type: ignore[type-var]
    transport.close()
    await turns(3)
