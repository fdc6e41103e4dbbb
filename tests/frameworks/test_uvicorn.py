"""uvicorn answers every request on the loop, with either of its HTTP parsers."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from support.load import load
from support.loops import STDLIB
from support.required import library
from support.uvicorn import uvicorn

APPLICATION = """
async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = b"hello from the application"
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_every_request_is_answered(loop_kind: str, http: str, tmp_path: Path) -> None:
    library(http)
    application = tmp_path / "app.py"
    application.write_text(APPLICATION)
    # The standard loop's run proves the test; h11, which is slow, needs no long proof.
    requests = 50_000 if loop_kind != STDLIB and http == "httptools" else 2_000
    with uvicorn(loop_kind, application, "--http", http) as server:
        report = load("127.0.0.1", server.port, requests)
        server.end(signal.SIGINT)
    assert report.errors == []
    assert report.answered >= requests
    assert "Application shutdown complete" in server.log
