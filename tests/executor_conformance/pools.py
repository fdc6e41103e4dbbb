"""Which executors are judged, and by which tests."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

SUITE = "test.test_concurrent_futures"
EXCLUSIONS = Path(__file__).with_name("exclusions.toml")


class Pool(NamedTuple):
    """An executor that stands for the standard library's of the same name."""

    class_name: str
    """In `rondel` and in `concurrent.futures`."""
    module: str
    """In which `concurrent.futures` has it."""
    modules: tuple[str, ...]
    """Those of the suite, from 3.12 on, that have tests of it; before, the suite is one module."""
    tests: str
    """A regular expression that matches the beginning of the names of its test classes."""


POOLS = {
    "threads": Pool(
        "ThreadPoolExecutor",
        "thread",
        ("as_completed", "init", "shutdown", "thread_pool", "wait"),
        "ThreadPool",
    ),
    "processes": Pool(
        "ProcessPoolExecutor",
        "process",
        ("as_completed", "init", "process_pool", "shutdown", "wait"),
        "ProcessPool",
    ),
}

START_METHODS = {"forkserver": "Forkserver", "spawn": "Spawn", "fork": "Fork(?!server)"}
"""How workers are started, and what follows in the names of process pools' test classes."""
FASTEST = "forkserver"
"""The start method whose tests take the least time."""


def pattern(pool: str, start_method: str) -> str:
    """Return what matches the names of the test classes that are about a pool."""
    name = POOLS[pool].tests
    return name + START_METHODS[start_method] if pool == "processes" else name
