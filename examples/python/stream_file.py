"""Streaming a large file through the loop: disk, TCP, disk, in constant memory.

What to see: the peak of memory hardly grows, however large the file. Two things keep it so: each
side holds one block at a time, and `drain` makes a fast sender wait for a slow receiver. Reads and
writes of the disk go to a thread, since a disk can be slow. The checksums show that nothing was
lost.

`stream_file.py [SOURCE [TARGET]]`; without a target the copy is removed in the end.
"""

from __future__ import annotations

import asyncio
import hashlib
import resource
import sys
import tempfile
import time
from pathlib import Path

import make_data

BLOCK = 256 * 1024
MIB = 2**20


async def send_file(source: Path, writer: asyncio.StreamWriter) -> None:
    """Send `source`, a block at a time, and close the connection."""
    try:
        with source.open("rb", buffering=0) as file:
            while block := await asyncio.to_thread(file.read, BLOCK):
                writer.write(block)
                await writer.drain()  # not faster than the receiver
    finally:
        writer.close()
        await writer.wait_closed()


async def receive_file(host: str, port: int, target: Path) -> str:
    """Store what comes, and return its SHA-256; `target` appears only when it is whole."""
    sha256 = hashlib.sha256()
    unfinished = target.with_name(f"{target.name}.part")
    reader, writer = await asyncio.open_connection(host, port, limit=BLOCK)
    try:
        with unfinished.open("wb") as file:

            def store(block: bytes) -> None:
                sha256.update(block)
                file.write(block)

            while block := await reader.read(BLOCK):
                await asyncio.to_thread(store, block)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
        writer.close()
        await writer.wait_closed()
    return sha256.hexdigest()


async def stream(source: Path, target: Path) -> str:
    """Serve `source` to one client, this program itself, and return the checksum it received."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await send_file(source, writer)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        return await receive_file(host, port, target)


def peak_memory() -> int:
    """The most memory that this program has held until now, in bytes."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except OSError:  # not Linux; macOS counts bytes, others KiB
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(source: Path, target: Path) -> None:
    """Stream, and report size, memory and checksum."""
    expected = sha256_of(source)
    size, before, started = source.stat().st_size, peak_memory(), time.perf_counter()
    received = asyncio.run(stream(source, target))
    took, after = time.perf_counter() - started, peak_memory()

    print(f"streamed {source.name}: {size} bytes in {took:.2f} s ({size / MIB / took:.0f} MiB/s)")
    print(
        f"peak memory: {before / MIB:.1f} MiB before, {after / MIB:.1f} MiB after, "
        f"grown by {(after - before) / MIB:.1f} MiB for a file of {size / MIB:.1f} MiB"
    )
    print(f"sha256 {received}")
    if received != expected:
        sys.exit("the copy differs from the source")
    print("the copy is the same as the source")


if __name__ == "__main__":
    original = Path(sys.argv[1]) if sys.argv[1:] else make_data.ensure_data() / "large1.txt"
    with tempfile.TemporaryDirectory() as temporary:
        main(original, Path(sys.argv[2]) if sys.argv[2:] else Path(temporary, original.name))
