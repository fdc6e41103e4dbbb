"""The openssl program as a TLS client or server, which is typed to."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator


class OpenSSL:
    """A running openssl program that is typed to."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._stdin, self._stdout = process.stdin, process.stdout

    def type(self, line: str) -> None:
        """Type a line; one that starts with "R", "r" or "K" is a command."""
        self._stdin.write(line.encode() + b"\n")

    async def says(self, text: str) -> str:
        """Read its output until it says that; what it says from there to the end of the line."""
        while line := await self._stdout.readline():
            _, found, rest = line.decode(errors="replace").partition(text)
            if found:
                return rest.strip()
        raise AssertionError(f"openssl never said {text!r}")

    async def exits(self) -> int:
        """Wait until it is over; its exit code."""
        await self._stdout.read()
        return await self.process.wait()


@contextlib.asynccontextmanager
async def openssl(*arguments: str) -> AsyncIterator[OpenSSL]:
    """Run the openssl program, for as long as it is needed."""
    process = await asyncio.create_subprocess_exec(
        "openssl", *arguments, stdin=PIPE, stdout=PIPE, stderr=STDOUT
    )
    program = OpenSSL(process)
    try:
        yield program
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await program.exits()
        program._stdin.close()
        with contextlib.suppress(ConnectionError):
            await program._stdin.wait_closed()
