"""Inside an interpreter: which executors `concurrent.futures` has."""

from __future__ import annotations

import concurrent.futures
import importlib

from executor_conformance.pools import POOLS


def substitute(name: str) -> None:
    """Put Rondel's class into the place of the standard library's.

    Every interpreter of a run does, children of tests included.
    """
    pool = POOLS[name]
    module = importlib.import_module(f"concurrent.futures.{pool.module}")
    ours = getattr(importlib.import_module("rondel"), pool.class_name)
    for place in (concurrent.futures, module):
        setattr(place, pool.class_name, ours)
