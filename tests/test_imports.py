"""What a program pays for that only makes a loop and runs a coroutine: no module too many."""

from __future__ import annotations

import json
import subprocess
import sys

import rondel

_IMPORTED = """\
import json, sys
{program}
print(json.dumps(sorted(sys.modules)))
"""

# From Python 3.14 on asyncio does without typing, which is still what annotations name.
_ASYNCIO = """\
import asyncio, typing
async def noop(): pass
with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
    runner.run(noop())
"""

_RONDEL = """\
import rondel
async def noop(): pass
rondel.run(noop())
"""

_NEEDED = {
    "rondel",
    "rondel._rondel",
    "rondel.cancellation",
    "rondel.cpython",
    "rondel.forks",
    "rondel.loop",
    "rondel.reports",
    "rondel.running",
    "rondel.sock_calls",
    "rondel.watched",
}


def imported_by(program: str) -> set[str]:
    command = [sys.executable, "-I", "-c", _IMPORTED.format(program=program)]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return set(json.loads(done.stdout))


def test_a_run_imports_what_asyncio_does_and_the_loop() -> None:
    """Executors, processes, transports, policies and debug mode are for who uses them."""
    assert imported_by(_RONDEL) - imported_by(_ASYNCIO) == {"__future__", *_NEEDED}


def test_who_serves_has_imported_what_a_connection_needs() -> None:
    """A first connection may come when no module can be opened any more."""
    serving = """\
import asyncio, ssl, rondel
async def main():
    server = await asyncio.start_server(print, "127.0.0.1", 0, ssl={context})
    server.close()
rondel.run(main())
"""
    assert "rondel.transport" in imported_by(serving.format(context=None))
    tls = "ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)"
    assert "rondel.transport" in imported_by(serving.format(context=tls))


def test_every_public_name_is_listed_and_found() -> None:
    assert set(rondel.__all__) <= set(dir(rondel))
    for name in rondel.__all__:
        assert getattr(rondel, name) is not None


def test_a_star_import_brings_every_public_name() -> None:
    names: dict[str, object] = {}
    exec("from rondel import *", names)
    assert set(rondel.__all__) <= names.keys()
    assert names["ThreadPoolExecutor"] is rondel.ThreadPoolExecutor


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(rondel, "no_such_name")
