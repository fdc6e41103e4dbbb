"""What a program holds after each of several rounds of the same work: a leak shows, caches do not.

The memory in use is counted, not the resident memory, in which holes come and go.
"""

from __future__ import annotations

import json

from support.child import run_child
from support.loops import STDLIB

MIB = 1024 * 1024
QUICK = ("-W", "error")
"""Interpreter options: development mode would make the programs several times slower."""

MEASURE = """
    import ctypes, gc, json

    PART = int(sys.argv[1])

    class Mallinfo(ctypes.Structure):
        "What glibc says of its heap; bytes, or numbers of blocks."
        _fields_ = [(name, ctypes.c_size_t) for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd",
            "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )]

    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = Mallinfo

    def held():
        "What this process holds: descriptors, Python's blocks and objects, native bytes."
        gc.collect()
        heap = mallinfo()
        return {
            "descriptors": len(os.listdir("/proc/self/fd")),
            "blocks": sys.getallocatedblocks(),
            "objects": len(gc.get_objects()),
            "native": heap.uordblks + heap.hblkhd,
        }
"""


def assert_nothing_grew(reports: list[str]) -> None:
    """Fail when the last time left more behind than those before."""
    *before, last = (json.loads(report) for report in reports)
    assert last["descriptors"] == before[0]["descriptors"]
    assert last["blocks"] - max(report["blocks"] for report in before) < 500
    assert last["objects"] - max(report["objects"] for report in before) < 200
    assert last["native"] - max(report["native"] for report in before) < MIB


def run_thrice(loop_kind: str, work: str) -> None:
    """Run ``async def work(loop)`` in a child and compare what it left behind each time.

    The program finds in ``PART`` by how much to divide its numbers.
    """
    program = (
        MEASURE
        + work
        + """
    loop = make_loop()
    for _ in range(3):
        loop.run_until_complete(work(loop))
        print(json.dumps(held()))
    loop.close()
    """
    )
    part = "10" if loop_kind == STDLIB else "1"
    done = run_child(loop_kind, program, part, options=QUICK, timeout=110)
    assert (done.returncode, done.stderr) == (0, "")
    assert_nothing_grew(done.stdout.splitlines())
