"""What a process holds, counted while nothing is going on in it."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import sys
from array import array
from typing import NamedTuple


class Sample(NamedTuple):
    """What the process held in one rest, and how far the soak had come.

    ``native`` are bytes of the C heap in use, without the holes in it, and ``blocks`` those of
    Python's own allocator; ``objects`` are what the collector tracks; ``resident`` are bytes of
    memory that the process occupies, holes included. ``busy_descriptors`` were open at some moment
    of the round before, for comparison.
    """

    seconds: float
    exchanges: float
    native: float
    blocks: float
    objects: float
    resident: float
    descriptors: float
    threads: float
    tasks: float
    children: float
    busy_descriptors: float


class Series:
    """Samples in the order in which they were taken, held in few bytes and no objects."""

    def __init__(self) -> None:
        self._numbers = array("d")

    def append(self, sample: Sample) -> None:
        """Add a sample."""
        self._numbers.extend(sample)

    def all(self) -> list[Sample]:
        """Return the samples."""
        width = len(Sample._fields)
        starts = range(0, len(self._numbers), width)
        return [Sample(*self._numbers[start : start + width]) for start in starts]


class _Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


_mallinfo = ctypes.CDLL(None).mallinfo2
_mallinfo.restype = _Mallinfo


def take(seconds: float, exchanges: int, busy_descriptors: int) -> Sample:
    """Count everything, after a collection."""
    gc.collect()
    gc.collect()  # what finalizers made
    heap = _mallinfo()
    return Sample(
        seconds=seconds,
        exchanges=exchanges,
        native=heap.uordblks + heap.hblkhd,
        blocks=sys.getallocatedblocks(),
        objects=len(gc.get_objects()),
        resident=resident(),
        descriptors=descriptors(),
        threads=len(os.listdir("/proc/self/task")),
        tasks=len(asyncio.all_tasks()),
        children=children(),
        busy_descriptors=busy_descriptors,
    )


def fill_interned() -> None:
    """Have the interpreter's table of interned strings grow now, as it otherwise does some day.

    Each entry is used once, so strings that come and go fill the table, whose next size depends on
    how many it holds then: 415 kB become 961 kB after some 200,000 exchanges. In Python 3.12 they
    stay for ever.
    """
    if sys.version_info[:2] == (3, 12):
        return
    for number in range(200_000):
        sys.intern(f"a string that comes and goes {number}")


def descriptors() -> int:
    """How many descriptors are open; the one that counts them is among them."""
    return len(os.listdir("/proc/self/fd"))


def resident() -> int:
    """Bytes of memory that the process occupies."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def children() -> int:
    """How many processes are this one's children, zombies included."""
    count = 0
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat") as stat:
                    count += int(stat.read().rpartition(")")[2].split()[1]) == os.getpid()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended
    return count


HEAD = (
    f"{'time':>8} {'exchanges':>10} | {'native MiB':>10} {'blocks':>8} {'objects':>8}"
    f" {'resident MiB':>12} | {'descriptors':>11} {'(busy)':>7} {'threads':>7} {'tasks':>5}"
    f" {'children':>8}"
)


def row(sample: Sample) -> str:
    """Return a sample as a line of the table under `HEAD`."""
    minutes, seconds = divmod(int(sample.seconds), 60)
    return (
        f"{minutes:>5}:{seconds:02} {sample.exchanges:>10,.0f} |"
        f" {sample.native / 2**20:>10.3f} {sample.blocks:>8,.0f} {sample.objects:>8,.0f}"
        f" {sample.resident / 2**20:>12.2f} | {sample.descriptors:>11.0f}"
        f" {f'({sample.busy_descriptors:.0f})':>7} {sample.threads:>7.0f} {sample.tasks:>5.0f}"
        f" {sample.children:>8.0f}"
    )
