"""Which cores the two sides of a workload run on."""

from __future__ import annotations

import os
from typing import NamedTuple


class Layout(NamedTuple):
    """The CPUs of a server, or of a loop, and those of its client, or of the other thread."""

    name: str
    title: str
    loop: tuple[int, ...]
    other: tuple[int, ...]


def here() -> tuple[Layout, ...]:
    """Return the layouts that this machine has, by the CPUs that this process may use."""
    cpus = sorted(os.sched_getaffinity(0))
    first = (cpus[0],)
    together = Layout("together", "both on one core", first, first)
    if len(cpus) == 1:
        return (together,)
    return Layout("apart", "each on a core of its own", first, (cpus[1],)), together


def alone() -> Layout:
    """Return the layout of work that one thread does."""
    first = (min(os.sched_getaffinity(0)),)
    return Layout("alone", "one thread", first, first)
