"""How much memory a process and its children take, as the kernel counts it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")

RESOLUTION = 16 * PAGE
"""Bytes. What grows by less cannot be told from what else a process touches meanwhile."""


class CannotMeasure(Exception):
    """The kernel does not say; ``str()`` is the reason."""


def resident(process: int | None = None) -> int:
    """Return the bytes of memory that a process has in use (RSS), by default this one."""
    return _rollup("self" if process is None else str(process), "Rss")


def proportional(processes: Iterable[int]) -> int:
    """Return the bytes in use by the given processes and this one together.

    A page shared by n of them, as after a fork, counts as 1/n in each (PSS).
    """
    return sum(_rollup(str(process), "Pss") for process in (*processes, os.getpid()))


def _rollup(process: str, field: str) -> int:
    try:
        text = Path("/proc", process, "smaps_rollup").read_text()
    except OSError as error:
        raise CannotMeasure(f"the kernel does not tell ({error.strerror})") from None
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise CannotMeasure(f"the kernel does not tell {field}")
