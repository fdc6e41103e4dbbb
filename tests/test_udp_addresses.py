"""The addresses of datagrams: as Python's ``socket`` writes them, both ways."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from support.datagrams import HERE, address, endpoint
from support.leaks import Strays
from support.loops import Loop
from support.net import turns


def has_ipv6() -> bool:
    """Whether the loopback interface has an IPv6 address."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 address on the loopback interface")


async def arrives(loop: Loop, sender: Any, receiver: Any, to: Any, sent_from: Any) -> None:
    """Send with one endpoint and expect it at another, from an address."""
    sender[0].sendto(b"hello", to)
    assert await receiver[1].happened("datagram") == ("datagram", b"hello", sent_from)


@needs_ipv6
@pytest.mark.parametrize("length", [2, 3, 4])
async def test_ipv6_addresses_have_four_parts_of_which_two_will_do(loop: Loop, length: int) -> None:
    async with (
        endpoint(loop, local_addr=("::1", 0)) as one,
        endpoint(loop, local_addr=("::1", 0)) as two,
    ):
        assert address(one[0]) == ("::1", address(one[0])[1], 0, 0)
        await arrives(loop, one, two, address(two[0])[:length], address(one[0]))


@needs_ipv6
async def test_an_ipv4_peer_of_an_ipv6_socket_is_mapped(loop: Loop) -> None:
    dual = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    dual.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    dual.bind(("::", 0))
    async with (
        endpoint(loop, sock=dual) as receiver,
        endpoint(loop, local_addr=HERE) as sender,
    ):
        to = ("127.0.0.1", address(receiver[0])[1])
        peer = ("::ffff:127.0.0.1", address(sender[0])[1], 0, 0)
        await arrives(loop, sender, receiver, to, peer)
        receiver[0].sendto(b"back", peer)
        assert (await sender[1].happened("datagram"))[1] == b"back"


@needs_ipv6
async def test_a_scope_is_given_apart_or_in_the_host(loop: Loop) -> None:
    index = socket.if_nametoindex("lo")
    async with (
        endpoint(loop, local_addr=("::1", 0)) as one,
        endpoint(loop, local_addr=("::1", 0)) as two,
    ):
        port = address(two[0])[1]
        one[0].sendto(b"by number", ("::1", port, 0, index))
        one[0].sendto(b"in the host", (f"::1%{index}", port))
        await two[1].happened("datagram", 2)
        assert [event[1] for event in two[1].events[1:]] == [b"by number", b"in the host"]


async def test_a_name_is_resolved(loop: Loop) -> None:
    async with (
        endpoint(loop, local_addr=HERE) as one,
        endpoint(loop, local_addr=HERE) as two,
    ):
        await arrives(loop, one, two, ("localhost", address(two[0])[1]), address(one[0]))


@pytest.mark.parametrize("host", ["", "<broadcast>", "127.1", "0x7f.1"])
async def test_what_python_makes_of_a_host_is_made_of_it(loop: Loop, host: str) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        async with (
            endpoint(loop, local_addr=HERE, allow_broadcast=True) as one,
            endpoint(loop, local_addr=HERE) as two,
        ):
            to = (host, address(two[0])[1])
            try:
                plain.sendto(b"x", to)
                refused = None
            except OSError as error:
                refused = error
            one[0].sendto(b"x", to)
            if refused is None:
                assert not one[1].count("error")
            else:
                assert (await one[1].happened("error"))[1].errno == refused.errno


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        5,
        "127.0.0.1:80",
        ("127.0.0.1",),
        ("127.0.0.1", "80"),
        ("127.0.0.1", 65536),
        ("127.0.0.1", -1),
        ("127.0.0.1", 80, 0),
        ["127.0.0.1", 80],
    ],
)
async def test_what_is_no_address_ends_the_transport(
    loop: Loop, wrong: Any, strays: Strays
) -> None:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as plain,
        pytest.raises((TypeError, OverflowError)) as expected,
    ):
        plain.sendto(b"x", wrong)
    async with endpoint(loop, local_addr=HERE) as (transport, protocol):
        transport.sendto(b"x", wrong)
        lost = await protocol.lost()
        assert type(lost) is expected.type
        assert str(lost) == str(expected.value)
        context = strays.take_one()
        assert context["message"] == "Fatal write error on datagram transport"
        assert context["exception"] is lost


async def test_an_unknown_name_is_told_to_error_received(loop: Loop) -> None:
    async with endpoint(loop, local_addr=HERE) as (transport, protocol):
        transport.sendto(b"x", ("no such host", 9))
        assert isinstance((await protocol.happened("error"))[1], socket.gaierror)
        assert not transport.is_closing()


async def test_an_address_given_as_other_types_than_tuples_still_matches(loop: Loop) -> None:
    class Name(str):
        __slots__ = ()

    async with (
        endpoint(loop, local_addr=HERE) as one,
        endpoint(loop, local_addr=HERE) as two,
    ):
        host, port = address(two[0])
        await arrives(loop, one, two, (Name(host), port), address(one[0]))


async def test_many_peers_are_told_apart(loop: Loop) -> None:
    async with endpoint(loop, local_addr=HERE) as (transport, received):
        senders = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(20)]
        try:
            for _ in range(3):
                for number, sender in enumerate(senders):
                    sender.sendto(b"%d" % number, address(transport))
            await received.happened("datagram", 60)
            for _, data, peer in received.events[1:]:
                sender = senders[int(data)]
                assert peer == ("127.0.0.1", sender.getsockname()[1])
                transport.sendto(b"for " + data, peer)
            for number, sender in enumerate(senders):
                assert [sender.recv(100) for _ in range(3)] == [b"for %d" % number] * 3
        finally:
            for sender in senders:
                sender.close()


# Unix sockets


def unix_socket(name: str | bytes | None) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if name is not None:
        sock.bind(name)
    return sock


async def test_abstract_names_are_bytes(loop: Loop) -> None:
    names = [b"\0one %d" % os.getpid(), b"\0two\0 %d" % os.getpid()]
    async with (
        endpoint(loop, sock=unix_socket(names[0])) as one,
        endpoint(loop, sock=unix_socket(names[1])) as two,
    ):
        assert address(one[0]) == names[0]
        await arrives(loop, one, two, names[1], names[0])
        await arrives(loop, two, one, names[0], names[1])


async def test_an_abstract_name_may_be_given_as_text(loop: Loop) -> None:
    name = f"\0text {os.getpid()}"
    async with (
        endpoint(loop, local_addr=name, family=socket.AF_UNIX) as one,
        endpoint(loop, sock=unix_socket(None)) as two,
    ):
        await arrives(loop, two, one, name, None)


async def test_a_peer_without_a_name_is_none(loop: Loop, tmp_path: Path) -> None:
    path = str(tmp_path / "named")
    async with (
        endpoint(loop, sock=unix_socket(path)) as named,
        endpoint(loop, sock=unix_socket(None)) as unnamed,
    ):
        assert address(unnamed[0]) == ""
        await arrives(loop, unnamed, named, path, None)


async def test_a_pair_of_sockets_needs_no_names(loop: Loop) -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    async with endpoint(loop, sock=left) as one, endpoint(loop, sock=right) as two:
        # A peer without a name is no peer to asyncio, which then wants an address to send to.
        with socket.socket(fileno=os.dup(right.fileno())) as sender:
            sender.send(b"to the left")
        assert await one[1].happened("datagram") == ("datagram", b"to the left", None)
        assert two[0].get_extra_info("peername") == ""


@pytest.mark.parametrize("name", [b"\xff\xfe", "ümläut".encode()])
async def test_paths_are_decoded_as_file_names(loop: Loop, tmp_path: Path, name: bytes) -> None:
    path = os.fsencode(tmp_path) + b"/" + name
    async with (
        endpoint(loop, sock=unix_socket(path)) as one,
        endpoint(loop, sock=unix_socket(str(tmp_path / "two"))) as two,
    ):
        assert address(one[0]) == os.fsdecode(path)
        await arrives(loop, one, two, str(tmp_path / "two"), os.fsdecode(path))
        await arrives(loop, two, one, path, str(tmp_path / "two"))
        two[0].sendto(b"again", os.fsdecode(path))
        await one[1].happened("datagram", 2)


async def test_the_longest_path_and_one_too_long(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, strays: Strays
) -> None:
    monkeypatch.chdir(tmp_path)
    longest = "x" * 107
    async with (
        endpoint(loop, sock=unix_socket(longest)) as one,
        endpoint(loop, sock=unix_socket("short")) as two,
    ):
        await arrives(loop, two, one, longest, "short")
        await arrives(loop, one, two, "short", longest)
        two[0].sendto(b"x", longest + "x")
        assert str((await two[1].happened("error"))[1]) == "AF_UNIX path too long"
    assert strays.take() == []


async def test_a_receiver_that_is_gone_is_told_to_error_received(
    loop: Loop, tmp_path: Path
) -> None:
    async with endpoint(loop, sock=unix_socket(None)) as (transport, protocol):
        transport.sendto(b"x", str(tmp_path / "nobody"))
        assert isinstance((await protocol.happened("error"))[1], FileNotFoundError)
        assert not transport.is_closing()
        await turns(1)
