"""Which executors are judged, and by which tests."""

from __future__ import annotations

from typing import NamedTuple

SUITE = "test.test_concurrent_futures"


class Pool(NamedTuple):
    """An executor that stands for the standard library's of the same name."""

    class_name: str
    """In `rondel` and in `concurrent.futures`."""
    module: str
    """In which `concurrent.futures` has it."""
    modules: tuple[str, ...]
    """Those of the suite, from 3.12 on, that have tests of it; before, the suite is one module."""
    tests: str
    """What the names of its test classes begin with."""


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
        # Of the start methods, the one whose tests take the least time.
        "ProcessPoolForkserver",
    ),
}
