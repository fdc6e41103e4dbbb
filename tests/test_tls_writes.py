"""TLS: what is written, in whatever form and from wherever, arrives in order."""

from __future__ import annotations

import array
import asyncio
import os
import ssl
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Certificates
from support.leaks import Strays
from support.loops import Loop
from support.protocols import Recorder
from support.tls_peer import VERSIONS, TLSPeer, client_with_peer, server_with_peer

both_versions = pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])


class Text(bytes):
    """Bytes of a class of their own."""


NUMBERS = array.array("I", range(1000))

# Forms


@pytest.mark.parametrize(
    "data",
    [
        b"bytes",
        bytearray(b"bytearray"),
        memoryview(b"memoryview"),
        memoryview(bytearray(b"of a bytearray")),
        memoryview(b"a part of it")[2:6],
        memoryview(NUMBERS),
        memoryview(NUMBERS)[500:],
        memoryview(bytes(range(24))).cast("B", (2, 3, 4)),
        Text(b"a subclass"),
        b"x" * 16_385,
    ],
    ids=lambda data: type(data).__name__,
)
async def test_forms_of_data(
    loop: Loop, certificates: Certificates, data: bytes | bytearray | memoryview
) -> None:
    async with client_with_peer(loop, certificates) as (transport, protocol, peer):
        transport.write(data)
        transport.writelines([data, data])
        transport.write(b"end")
        expected = bytes(data) * 3 + b"end"
        assert await peer.receive(len(expected)) == expected
        assert transport.get_write_buffer_size() == 0
        assert protocol.names() == ["made"]


async def test_data_may_be_changed_right_after_it_was_written(
    loop: Loop, certificates: Certificates
) -> None:
    async with client_with_peer(loop, certificates) as (transport, _, peer):
        data = bytearray(b"before")
        transport.write(data)
        data[:] = b"after"
        transport.write(memoryview(data))
        data[:] = b"xxxxx"
        transport.writelines([data, b"-", memoryview(data)])
        data.clear()  # nobody holds on to it
        assert await peer.receive(22) == b"beforeafterxxxxx-xxxxx"


async def test_data_may_be_changed_while_the_peer_does_not_read(
    loop: Loop, certificates: Certificates
) -> None:
    async with client_with_peer(loop, certificates) as (transport, protocol, peer):
        data = bytearray(os.urandom(300_000))
        expected = b""
        while not protocol.count("pause"):
            transport.write(data)
            expected += data
            data[:] = data[::-1]
        data.clear()
        assert await peer.receive(len(expected)) == expected


async def test_empty_data_is_no_data(loop: Loop, certificates: Certificates) -> None:
    async with client_with_peer(loop, certificates) as (transport, _, peer):
        for empty in (b"", bytearray(), memoryview(b""), Text()):
            transport.write(empty)
        transport.writelines([])
        transport.writelines([b"", bytearray(), memoryview(b"")])
        assert transport.get_write_buffer_size() == 0
        transport.writelines([b"", b"x", b""])
        assert await peer.receive(1) == b"x"


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ("text", "str"),
        (None, "NoneType"),
        (5, "int"),
        ([b"x"], "list"),
        (array.array("B", b"x"), "array"),
        ("", "str"),
    ],
)
async def test_what_is_no_bytes_is_refused(
    loop: Loop, certificates: Certificates, wrong: Any, name: str
) -> None:
    async with client_with_peer(loop, certificates) as (transport, protocol, peer):
        with pytest.raises(TypeError) as raised:
            transport.write(wrong)
        assert str(raised.value) == f"data: expecting a bytes-like instance, got {name}"
        transport.write(b"goes on")
        assert await peer.receive(7) == b"goes on"
        transport.abort()
        await protocol.lost()
        with pytest.raises(TypeError, match="expecting a bytes-like instance"):
            transport.write(wrong)


async def test_lines_of_a_mix_and_of_any_iterable(loop: Loop, certificates: Certificates) -> None:
    async with client_with_peer(loop, certificates) as (transport, _, peer):
        transport.writelines([b"one ", bytearray(b"two "), memoryview(b"three "), Text(b"four ")])
        transport.writelines(b"%d " % number for number in range(3))
        transport.writelines((array.array("B", b"five "),))
        transport.writelines({b"six": None})
        expected = b"one two three four 0 1 2 five six"
        assert await peer.receive(len(expected)) == expected


@pytest.mark.parametrize("wrong", [5, None])
async def test_lines_that_are_none_are_refused(
    loop: Loop, certificates: Certificates, wrong: Any
) -> None:
    async with client_with_peer(loop, certificates) as (transport, _, peer):
        with pytest.raises(TypeError):
            transport.writelines(wrong)
        transport.write(b"goes on")
        assert await peer.receive(7) == b"goes on"


@pytest.mark.parametrize(
    ("wrong", "error"),
    [("text", TypeError), ([b"x"], TypeError), (memoryview(b"abcd")[::2], BufferError)],
    ids=["text", "list", "not contiguous"],
)
async def test_a_line_that_cannot_be_sent_loses_the_connection(
    loop: Loop, certificates: Certificates, strays: Strays, wrong: Any, error: type[Exception]
) -> None:
    async with client_with_peer(loop, certificates) as (transport, protocol, _):
        transport.writelines([wrong])
        context = strays.take_one()
        assert context["message"] == "Fatal error on SSL protocol"
        assert type(context["exception"]) is error
        assert await protocol.lost() is context["exception"]


async def test_a_view_that_is_not_contiguous_loses_the_connection(
    loop: Loop, certificates: Certificates, strays: Strays
) -> None:
    async with client_with_peer(loop, certificates) as (transport, protocol, _):
        transport.write(memoryview(b"every second")[::2])
        assert type(await protocol.lost()) is BufferError
        assert strays.take_one()["message"] == "Fatal error on SSL protocol"


# Places


class Answering(Recorder):
    """Writes whenever it is called."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        transport.write(b"made ")

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.write(b"data ")
        self.transport.writelines([b"more ", bytearray(b"data ")])

    def eof_received(self) -> None:
        super().eof_received()
        self.transport.write(b"eof ")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.transport.write(b"lost")
        super().connection_lost(exc)


@both_versions
@pytest.mark.parametrize("sides", [client_with_peer, server_with_peer])
async def test_writing_from_every_call_of_the_protocol(
    loop: Loop, certificates: Certificates, sides: Any, version: ssl.TLSVersion
) -> None:
    async with sides(loop, certificates, Answering, version=version) as (_, protocol, peer):
        assert await peer.receive(5) == b"made "
        await peer.send(peer.record(b"x"))
        assert await peer.receive(15) == b"data more data "
        await peer.send(peer.record(b"x") + peer.goodbye())
        assert await protocol.lost() is None
        assert protocol.names() == ["made", "data", "data", "eof", "lost"]


async def test_what_is_written_when_the_end_is_heard_comes_before_the_goodbye(
    loop: Loop, certificates: Certificates
) -> None:
    """TLS 1.3 lets a side write on after it has heard the other's goodbye."""
    async with client_with_peer(loop, certificates, Answering) as (_, protocol, peer):
        assert await peer.receive(5) == b"made "
        await peer.send(peer.record(b"x") + peer.goodbye())
        assert await peer.receive(19) == b"data more data eof "
        await peer.is_answered()
        assert await protocol.lost() is None


async def test_what_is_written_before_a_close_is_sent(
    loop: Loop, certificates: Certificates
) -> None:
    data = os.urandom(3_000_000)
    async with client_with_peer(loop, certificates) as (transport, protocol, peer):
        transport.write(data)
        transport.close()
        assert await peer.receive(len(data) + 1) == data
        await peer.send(peer.goodbye())
        assert await protocol.lost() is None


async def test_many_writes_in_a_turn_arrive_in_order(
    loop: Loop, certificates: Certificates
) -> None:
    pieces = [b"%05d" % number for number in range(3000)]
    async with client_with_peer(loop, certificates) as (transport, _, peer):
        for piece in pieces:
            transport.write(piece)
        assert await peer.receive(15_000) == b"".join(pieces)


async def test_every_write_is_a_record_and_large_ones_are_several(
    loop: Loop, certificates: Certificates
) -> None:
    async with client_with_peer(loop, certificates) as (transport, _, peer):
        for size in (1, 100, 16_384, 20_000):
            transport.write(bytes(size))
        transport.writelines([bytes(10), bytes(20)])
        transport.close()
        sizes = []
        while True:
            try:
                chunk = peer.tls.read(65536)
            except ssl.SSLWantReadError:
                await peer.take()
                continue
            if not chunk:
                break
            sizes.append(len(chunk))
        assert sizes == [1, 100, 16_384, 16_384, 3_616, 10, 20]


async def test_an_answer_that_only_tls_gives_is_sent_at_once(
    loop: Loop, certificates: Certificates
) -> None:
    """A server asks for a certificate after the handshake; the protocol hears nothing of it."""
    demanding, known = certificates.server_context(), certificates.client_context()
    demanding.load_verify_locations(str(certificates.authority))
    demanding.verify_mode = ssl.CERT_REQUIRED
    known.load_cert_chain(str(certificates.certificate))
    demanding.post_handshake_auth = known.post_handshake_auth = True
    async with client_with_peer(loop, certificates, context=known, peer_context=demanding) as (
        transport,
        protocol,
        peer,
    ):
        assert peer.tls.getpeercert() is None
        assert peer.tls.verify_client_post_handshake() is None
        await peer.send(peer.record(b"who are you?"))
        assert await protocol.got(12) == b"who are you?"
        while peer.tls.getpeercert() is None:
            await peer.take()
            with pytest.raises(ssl.SSLWantReadError):
                peer.tls.read(1)
        # The server sends new session tickets now.
        await peer.send(peer.record(b" welcome"))
        assert await protocol.got(20) == b"who are you? welcome"
        transport.write(b"thanks")
        assert await peer.receive(6) == b"thanks"


# Too late


@pytest.mark.parametrize("end", ["close", "abort", "lost"])
async def test_writes_after_the_end_are_dropped_and_warned_of_from_the_sixth_on(
    loop: Loop, certificates: Certificates, caplog: pytest.LogCaptureFixture, end: str
) -> None:
    async with client_with_peer(loop, certificates) as (transport, protocol, peer):
        transport.write(b"in time")
        (transport.close if end == "close" else transport.abort)()
        if end == "lost":
            await protocol.lost()
        counted = protocol.count("lost")  # an end counts as a write
        for number in range(10):
            transport.write(b"too late")
            transport.writelines([b"too", b"late"])
            assert caplog.messages.count("SSL connection is closed") == max(
                0, 2 * number - 3 + counted
            )
        assert transport.get_write_buffer_size() == 0
        if end == "close":
            assert await peer.receive(8) == b"in time"


# Methods for whole files, and for the end


@pytest.mark.parametrize(("offset", "count"), [(0, None), (1000, 500_000)])
async def test_a_file_is_sent_in_the_order_of_the_writes(
    loop: Loop, certificates: Certificates, tmp_path: Path, offset: int, count: int | None
) -> None:
    data = os.urandom(1_000_000)
    path = tmp_path / "file"
    path.write_bytes(data)
    part = data[offset:] if count is None else data[offset : offset + count]

    async def send(transport: asyncio.WriteTransport) -> int:
        with path.open("rb") as file:
            return await loop.sendfile(transport, file, offset, count)

    async with client_with_peer(loop, certificates) as (transport, protocol, peer):
        transport.write(b"before ")
        sent, received = await asyncio.gather(send(transport), peer.receive(7 + len(part)))
        assert sent == len(part)
        assert received == b"before " + part
        transport.write(b"after")
        assert await peer.receive(5) == b"after"
        assert transport.get_protocol() is protocol


async def test_a_file_cannot_be_sent_without_a_fallback(
    loop: Loop, certificates: Certificates, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"data")
    async with client_with_peer(loop, certificates) as (transport, _, _):
        with path.open("rb") as file, pytest.raises(RuntimeError, match="fallback is disabled"):
            await loop.sendfile(transport, file, fallback=False)


async def test_half_a_close_is_not_possible(loop: Loop, certificates: Certificates) -> None:
    async with client_with_peer(loop, certificates) as (transport, _, peer):
        assert not transport.can_write_eof()
        with pytest.raises(NotImplementedError):
            transport.write_eof()
        transport.write(b"goes on")
        assert await peer.receive(7) == b"goes on"


async def test_what_is_written_before_the_peer_answers_a_close_is_in_order(
    loop: Loop, certificates: Certificates
) -> None:
    async def answer(peer: TLSPeer) -> bytes:
        received = await peer.receive(1_000_000)
        await peer.send(peer.record(b"too late") + peer.goodbye())
        return received

    async with client_with_peer(loop, certificates) as (transport, protocol, peer):
        answering = loop.create_task(answer(peer))
        for number in range(1000):
            transport.write(b"%04d" % number)
        transport.close()
        assert await answering == b"".join(b"%04d" % number for number in range(1000))
        await protocol.lost()
        assert protocol.received == b""
