"""uvicorn runs on the loop and answers every request."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.child import environment
from support.load import load
from support.loops import STDLIB

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
LOOPS = {"stdlib": "asyncio", "rondel": "rondel:new_event_loop"}


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_every_request_is_answered(loop_kind: str, http: str, tmp_path: Path) -> None:
    if http == "httptools":
        pytest.importorskip("httptools", reason="this HTTP parser is not installed")
    (tmp_path / "app.py").write_text(APPLICATION)
    server = subprocess.Popen(
        [
            *(sys.executable, "-W", "error", "-m", "uvicorn", "app:application"),
            *("--host", "127.0.0.1", "--port", "0", "--no-access-log", "--http", http),
            *("--loop", LOOPS[loop_kind], "--app-dir", str(tmp_path)),
        ],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    log = []
    for line in server.stderr:
        log.append(line)
        if running := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
            break
    else:
        server.wait()
        pytest.fail("".join(log))
    # The standard loop's run proves the test; h11, which is slow, needs no long proof.
    requests = 50_000 if loop_kind != STDLIB and http == "httptools" else 2_000
    try:
        report = load("127.0.0.1", int(running[1]), requests)
    finally:
        server.send_signal(signal.SIGINT)
        _, rest = server.communicate(timeout=30)
    assert report.errors == []
    assert report.answered >= requests
    assert "Application shutdown complete" in rest
    assert "Traceback" not in rest
    assert server.returncode in (0, -signal.SIGINT)
