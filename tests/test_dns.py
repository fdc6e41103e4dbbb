"""``getaddrinfo`` and ``getnameinfo``."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest
from support.loops import Loop
from support.net import turns

QUESTIONS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    (("127.0.0.1", 80), {}),
    (("127.0.0.1", "80"), {"type": socket.SOCK_STREAM}),
    (("::1", 443), {"type": socket.SOCK_STREAM}),
    (("localhost", 80), {"family": socket.AF_INET, "type": socket.SOCK_STREAM}),
    (("localhost", None), {"type": socket.SOCK_STREAM}),
    ((None, 80), {"type": socket.SOCK_STREAM, "flags": socket.AI_PASSIVE}),
    ((None, 0), {"type": socket.SOCK_DGRAM}),
    (("127.0.0.1", 0), {"proto": socket.IPPROTO_UDP}),
    (("127.0.0.1", 80), {"flags": socket.AI_NUMERICHOST, "type": socket.SOCK_STREAM}),
    (("localhost", 80), {"flags": socket.AI_CANONNAME, "family": socket.AF_INET}),
    ((b"127.0.0.1", 80), {"type": socket.SOCK_STREAM}),
]


@pytest.mark.parametrize("question", QUESTIONS)
async def test_getaddrinfo_answers_as_the_socket_module_does(
    loop: Loop, question: tuple[tuple[Any, ...], dict[str, Any]]
) -> None:
    arguments, options = question
    assert await loop.getaddrinfo(*arguments, **options) == socket.getaddrinfo(
        *arguments, **options
    )


async def test_getaddrinfo_fails_as_the_socket_module_does(loop: Loop) -> None:
    for host in ("256.256.256.256", "no such host"):
        with pytest.raises(socket.gaierror) as expected:
            socket.getaddrinfo(host, 80, flags=socket.AI_NUMERICHOST)
        with pytest.raises(socket.gaierror) as caught:
            await loop.getaddrinfo(host, 80, flags=socket.AI_NUMERICHOST)
        assert caught.value.args == expected.value.args
    with pytest.raises(socket.gaierror):
        await loop.getaddrinfo("127.0.0.1", "no-such-service")
    with pytest.raises(TypeError):
        await loop.getaddrinfo(5, 80)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("address", "flags"),
    [
        (("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
        (("::1", 80, 0, 0), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
        (("127.0.0.1", 80), socket.NI_NUMERICHOST),
        (("127.0.0.1", 80), 0),
    ],
)
async def test_getnameinfo_answers_as_the_socket_module_does(
    loop: Loop, address: Any, flags: int
) -> None:
    assert await loop.getnameinfo(address, flags) == socket.getnameinfo(address, flags)


async def test_getnameinfo_fails_as_the_socket_module_does(loop: Loop) -> None:
    with pytest.raises(socket.gaierror):
        await loop.getnameinfo(("localhost", 80), socket.NI_NUMERICHOST)
    with pytest.raises(TypeError):
        await loop.getnameinfo("127.0.0.1")  # type: ignore[arg-type]


async def test_many_questions_at_once(loop: Loop) -> None:
    expected = socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
    answers = await asyncio.gather(
        *(loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM) for _ in range(100))
    )
    assert answers == [expected] * 100


async def test_a_question_can_be_cancelled(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *question: answer.wait())
    asking = loop.create_task(loop.getaddrinfo("localhost", 80))
    await turns(1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    answer.set()
