"""What this process may use: open files and CPUs."""

from __future__ import annotations

import os
import resource


def raise_open_files() -> int:
    """Raise the soft limit of open files to the hard one and return it.

    The soft limit is low, mostly 1024, for the sake of programs that use ``select``.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = max(soft, 1_048_576)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        # macOS refuses numbers above its own limit, whatever the hard limit says.
        return soft
    return hard


def cpus() -> int:
    """Return how many CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
