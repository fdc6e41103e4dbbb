"""What a service under uvicorn lives through: bodies, clients that leave, websockets, shutdown."""

from __future__ import annotations

import http.client
import random
import signal
import socket
from pathlib import Path

import pytest
from support.certificates import Certificates
from support.leaks import eventually
from support.required import library
from support.uvicorn import uvicorn

websockets = library("websockets")
library("websockets.sync.client")

APPLICATION = """
import asyncio

def say(*words):
    # In one write: workers share the pipe.
    print(" ".join(map(str, words)) + "\\n", end="", flush=True)

async def lifespan(receive, send):
    assert (await receive())["type"] == "lifespan.startup"
    say("startup")
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    await asyncio.sleep(0.01)
    say("shutdown")
    await send({"type": "lifespan.shutdown.complete"})

async def http(scope, receive, send):
    if scope["path"] == "/endless":
        await receive()
        gone = asyncio.create_task(receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not gone.done():
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
            await asyncio.sleep(0)
        say((await gone)["type"])
        return
    say("begun")
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for start in range(0, len(body), 70_000):
        piece = body[start:start + 70_000]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})

async def websocket(receive, send):
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": message["bytes"]})
    say(message["type"], message["code"])

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "http":
        await http(scope, receive, send)
    else:
        await websocket(receive, send)
"""
BODY = random.Random(4).randbytes(5_000_000)


@pytest.fixture
def application(tmp_path: Path) -> Path:
    """The application's file."""
    path = tmp_path / "app.py"
    path.write_text(APPLICATION)
    return path


def connect(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=30)


def accepts_connections(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("parser", ["h11", "httptools"])
def test_bodies_of_many_mebibytes_are_streamed_both_ways(
    loop_kind: str, parser: str, application: Path
) -> None:
    with uvicorn(loop_kind, application, "--http", parser) as server:
        client = connect(server.port)
        for _ in range(3):
            client.request("POST", "/", BODY)
            assert client.getresponse().read() == BODY
        client.close()
        server.end(signal.SIGTERM)
        assert server.output() == ["startup", "begun", "begun", "begun", "shutdown"]


def test_bodies_are_streamed_by_tls(
    loop_kind: str, application: Path, certificates: Certificates
) -> None:
    pem = str(certificates.certificate)
    with uvicorn(loop_kind, application, "--ssl-keyfile", pem, "--ssl-certfile", pem) as server:
        client = http.client.HTTPSConnection(
            "localhost", server.port, timeout=30, context=certificates.client_context()
        )
        for _ in range(3):
            client.request("POST", "/", BODY)
            assert client.getresponse().read() == BODY
        client.close()
        server.end(signal.SIGTERM)


def test_a_unix_socket_is_served(loop_kind: str, application: Path, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with uvicorn(loop_kind, application, "--uds", str(path)) as server:
        client = http.client.HTTPConnection("localhost")
        client.sock = socket.socket(socket.AF_UNIX)
        client.sock.connect(str(path))
        client.request("POST", "/", BODY)
        assert client.getresponse().read() == BODY
        client.close()
        server.end(signal.SIGTERM)


@pytest.mark.parametrize("parser", ["h11", "httptools"])
def test_a_client_that_leaves_in_the_midst_of_a_response_ends_only_that_response(
    loop_kind: str, parser: str, application: Path
) -> None:
    with uvicorn(loop_kind, application, "--http", parser) as server:
        for _ in range(5):
            leaving = connect(server.port)
            leaving.request("GET", "/endless")
            assert leaving.getresponse().read(1_000_000) == b"x" * 1_000_000
            leaving.close()
        client = connect(server.port)
        client.request("POST", "/", b"still there")
        assert client.getresponse().read() == b"still there"
        client.close()
        server.end(signal.SIGTERM)
        output = server.output()
        assert sorted(output) == ["begun", *["http.disconnect"] * 5, "shutdown", "startup"]


@pytest.mark.parametrize("parser", ["h11", "httptools"])
def test_a_request_in_progress_ends_before_the_shutdown_that_sigterm_begins(
    loop_kind: str, parser: str, application: Path
) -> None:
    with uvicorn(loop_kind, application, "--http", parser) as server:
        client, idle = connect(server.port), connect(server.port)
        idle.request("POST", "/", b"once")
        assert idle.getresponse().read() == b"once"
        client.putrequest("POST", "/")
        client.putheader("Content-Length", str(len(BODY)))
        client.endheaders(BODY[:1_000_000])
        assert server.wait_for_output("begun", times=2)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("Waiting for connections to close")
        with pytest.raises(ConnectionRefusedError):
            connect(server.port).connect()
        client.send(BODY[1_000_000:])
        assert client.getresponse().read() == BODY
        server.has_ended_by(signal.SIGTERM)
        assert idle.sock.recv(1) == b""
        idle.close()
        client.close()
        assert server.output() == ["startup", "begun", "begun", "shutdown"]


@pytest.mark.parametrize("implementation", ["websockets-sansio", "wsproto"])
def test_websockets_echo_messages_of_a_mebibyte_until_the_shutdown(
    loop_kind: str, implementation: str, application: Path
) -> None:
    with uvicorn(loop_kind, application, "--ws", implementation) as server:
        url = f"ws://127.0.0.1:{server.port}"
        with websockets.sync.client.connect(url, proxy=None, max_size=None) as client:
            for start in range(5):
                message = BODY[start : start + 2**20]
                client.send(message)
                assert client.recv(30) == message
        assert server.wait_for_output("websocket.disconnect 1000")
        with websockets.sync.client.connect(url, proxy=None) as client:
            client.send(b"hello")
            assert client.recv(30) == b"hello"
            server.process.send_signal(signal.SIGTERM)
            with pytest.raises(websockets.ConnectionClosed) as closed:
                client.recv(30)
            assert closed.value.rcvd.code == 1012
        server.has_ended_by(signal.SIGTERM)
        output = server.output()
        assert output == [
            "startup",
            "websocket.disconnect 1000",
            "websocket.disconnect 1012",
            "shutdown",
        ]


def test_several_workers_serve_one_port(loop_kind: str, application: Path) -> None:
    lenient = ()  # uvicorn leaves the parent's socket to the collector
    with uvicorn(loop_kind, application, "--workers", "2", options=lenient) as server:
        # uvicorn says that it runs when its workers do not listen yet.
        assert eventually(lambda: accepts_connections(server.port), within=30)
        for _ in range(10):
            client = connect(server.port)
            client.request("POST", "/", BODY)
            assert client.getresponse().read() == BODY
            client.close()
        server.process.send_signal(signal.SIGTERM)
        server.has_ended_by(signal.SIGTERM)
        output = server.output()
        assert sorted(output) == [*["begun"] * 10, "shutdown", "shutdown", "startup", "startup"]
