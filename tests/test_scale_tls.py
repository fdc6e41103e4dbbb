"""Ten thousand TLS connections leave nothing behind, however they end."""

from __future__ import annotations

import sys

import pytest
from support.certificates import Certificates
from support.child import run_child
from support.growth import MEASURE, QUICK, assert_nothing_grew
from support.loops import STDLIB

NEWEST = sys.version_info >= (3, 13)
WARM_UP = 300
"""Connections after which the caches of Python and OpenSSL are full."""

PROGRAM = (
    MEASURE
    + """
    import ssl

    certificate, authority = sys.argv[2:]
    at_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    at_server.load_cert_chain(certificate)
    at_server.num_tickets = 0  # no resumption: each connection shakes hands in full
    at_client = ssl.create_default_context(cafile=authority)

    async def echo(reader, writer):
        try:
            line = await reader.readline()
            if line == b"STARTTLS\\n":
                writer.write(b"OK\\n")
                await writer.start_tls(at_server)
                line = await reader.readline()
            writer.write(line)
            if line.startswith(b"last word"):
                assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
        except ConnectionError:
            writer.close()

    async def ask(address, plain_address, number):
        if number % 25 == 1:  # the handshake fails
            try:
                await asyncio.open_connection(*address, ssl=at_client, server_hostname="wrong")
            except ssl.SSLCertVerificationError:
                return
            raise AssertionError("trusted a certificate for another host")
        if number % 25 == 2:  # plain at first
            reader, writer = await asyncio.open_connection(*plain_address)
            writer.write(b"STARTTLS\\n")
            assert await reader.readline() == b"OK\\n"
            await writer.start_tls(at_client, server_hostname="localhost")
        else:
            reader, writer = await asyncio.open_connection(
                *address, ssl=at_client, server_hostname="localhost"
            )
        if number % 25 == 3:  # torn
            writer.transport.abort()
        elif number % 2:  # closed by the client
            writer.write(b"last word %d\\n" % number)
            assert await reader.readline() == b"last word %d\\n" % number
        else:  # by the server
            writer.write(b"%d\\n" % number)
            assert await reader.read() == b"%d\\n" % number
        writer.close()
        await writer.wait_closed()

    async def work(count):
        servers = [
            await asyncio.start_server(echo, "127.0.0.1", 0, ssl=at_server),
            await asyncio.start_server(echo, "127.0.0.1", 0),
        ]
        addresses = [server.sockets[0].getsockname() for server in servers]
        for start in range(0, count, 20):
            await asyncio.gather(*(ask(*addresses, start + number) for number in range(20)))
        for server in servers:
            server.close()
            await server.wait_closed()
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)

    loop = make_loop()
    for count in (WARM_UP, PART // 2, PART // 2):
        loop.run_until_complete(work(count))
        print(json.dumps(held()))
    loop.close()
    """
)


@pytest.mark.timeout(190)
def test_ten_thousand_tls_connections_leave_nothing(
    loop_kind: str, certificates: Certificates
) -> None:
    """Fewer on older Pythons, and on asyncio's loop, where they only prove the test."""
    connections = 1_000 if loop_kind == STDLIB else 10_000 if NEWEST else 2_000
    done = run_child(
        loop_kind,
        PROGRAM.replace("WARM_UP", str(WARM_UP)),
        str(connections),
        str(certificates.certificate),
        str(certificates.authority),
        options=QUICK,
        timeout=180,
    )
    assert (done.returncode, done.stderr) == (0, "")
    after_warm_up, _, at_the_end = done.stdout.splitlines()
    assert_nothing_grew([after_warm_up, at_the_end])
