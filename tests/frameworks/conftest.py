"""Fixtures of the tests with real frameworks: the servers that they talk to, one of each a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support import servers
from support.certificates import Certificates
from support.leaks import Strays


@pytest.fixture(scope="session")
def redis_server(certificates: Certificates) -> Iterator[servers.Redis]:
    """A Redis server; tests use keys of their own names."""
    with servers.redis(certificates) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_server(certificates: Certificates) -> Iterator[servers.PostgreSQL]:
    """A PostgreSQL server; tests use tables of their own names."""
    with servers.postgresql(certificates) as server:
        yield server


@pytest.fixture
def handshakes_may_break_off(strays: Strays) -> Iterator[None]:
    """Let a loop in debug mode report, as asyncio's does, the clients that gave up a handshake.

    To be named by ``usefixtures``: so it looks when the loop is closed.
    """
    yield
    messages = {context["message"] for context in strays.take()}
    assert messages <= {"Error on transport creation for incoming connection"}
