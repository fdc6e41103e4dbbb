"""Processes that a test started, found by a mark in the environment that they inherit."""

from __future__ import annotations

from pathlib import Path

MARK = "RONDEL_TEST_MARK"
"""The environment variable to set, to something that nobody else has."""


def processes_marked(mark: str) -> list[int]:
    """Return the processes whose environment carries a mark: those that a test started."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (directory / "environ").read_bytes():
                found.append(int(directory.name))
        except OSError:
            continue
    return found
