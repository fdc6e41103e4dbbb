"""What operations meet: servers that audit, ports that refuse, neighbours; and the account."""

from __future__ import annotations

import asyncio
import gc
import random
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from support.certificates import Certificates
from support.leaks import Ledger, Strays, open_descriptors
from support.loops import Context, Loop
from support.net import turns
from support.ownership.exchange import AuditedEcho, DatagramEcho
from support.ownership.neighbours import LOOKS_TO_LEAVE, Neighbours
from support.ownership.pulse import Pulse
from support.ownership.rounds import Operation, Plan, Round, Violation

LONGEST = 20.0
"""Seconds after which a round counts as stuck."""
TO_SETTLE = 5.0
"""Seconds in which everything that a round began must have come to its end."""

# In debug mode the server's side of a connection reports that its client hung up.
_CLIENT_HUNG_UP = "Error on transport creation for incoming connection"


def children() -> set[int]:
    """The child processes of this process, those that nobody has reaped included."""
    threads = Path("/proc/self/task").iterdir()
    return {int(child) for thread in threads for child in _words(thread / "children")}


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except FileNotFoundError:
        return []  # the thread has ended


class Pool(ThreadPoolExecutor):
    """The loop's executor, which can say whether it is busy."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._jobs: list[Future[Any]] = []

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        job = super().submit(function, *args, **kwargs)
        self._jobs.append(job)
        return job

    def busy(self) -> bool:
        """Whether a job that was given to it is not done yet."""
        self._jobs[:] = [job for job in self._jobs if not job.done()]
        return bool(self._jobs)


class World:
    """The surroundings of many rounds on one running loop."""

    def __init__(
        self,
        loop: Loop,
        kind: str,
        seed: int | str,
        folder: Path,
        certificates: Certificates,
        strays: Strays,
        ledger: Ledger,
    ) -> None:
        self.loop = loop
        self.kind = kind
        self.seed = seed
        self.folder = folder
        self.certificates = certificates
        self.server_context = certificates.server_context()
        self.client_context = certificates.client_context()
        self._strays = strays
        self._ledger = ledger
        self.rounds: list[Round] = []
        """All that were begun."""
        self._count = 0
        self.wrong: list[str] = []
        self._names: dict[str, list[Any]] = {}
        self._resolve = loop.getaddrinfo
        loop.getaddrinfo = self._getaddrinfo  # type: ignore[method-assign]
        self._stack = AsyncExitStack()
        self._baseline: dict[int, str] = {}

    async def __aenter__(self) -> Self:
        self.pulse = Pulse(self.loop)
        self._stack.callback(self.pulse.stop)
        self._stack.callback(delattr, self.loop, "getaddrinfo")
        self._pool = Pool(thread_name_prefix="world", max_workers=4)
        self.loop.set_default_executor(self._pool)
        await self._open_servers()
        self._open_sockets()
        (self.folder / "file").write_bytes(b"".join(b"%07d\n" % n for n in range(50_000)))
        self._baseline = self.descriptors()
        self._children = children()
        dice = random.Random(f"{self.seed} neighbours")
        self.neighbours = Neighbours(self.loop, self.pulse, self.kind, dice)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.neighbours.speak_all()
        heard = self.pulse.looks + LOOKS_TO_LEAVE
        while self.pulse.looks < heard:
            await turns(1)
        self.wrong += self.neighbours.leave_all()
        await self._stack.aclose()
        await turns(3)

    async def _open_servers(self) -> None:
        def audited() -> AuditedEcho:
            return AuditedEcho(self.wrong)

        any_port = ("127.0.0.1", 0)
        tcp = await self.loop.create_server(audited, *any_port, backlog=512)
        tls = await self.loop.create_server(
            audited, *any_port, ssl=self.server_context, backlog=512
        )
        self.unix = str(self.folder / "echo")
        unix = await self.loop.create_unix_server(audited, self.unix, backlog=512)
        for server in (tcp, tls, unix):
            self._stack.push_async_callback(self._close_server, server)
        self.tcp: tuple[str, int] = tcp.sockets[0].getsockname()
        self.tls: tuple[str, int] = tls.sockets[0].getsockname()
        udp, _ = await self.loop.create_datagram_endpoint(DatagramEcho, ("127.0.0.1", 0))
        self._stack.callback(udp.abort)
        self.udp: tuple[str, int] = udp.get_extra_info("sockname")

    async def _close_server(self, server: asyncio.AbstractServer) -> None:
        server.close()
        async with asyncio.timeout(TO_SETTLE):
            await server.wait_closed()

    def _open_sockets(self) -> None:
        refusing = self._stack.enter_context(socket.socket())
        refusing.bind(("127.0.0.1", 0))
        self.refusing: tuple[str, int] = refusing.getsockname()
        # Its queue is full, so whoever connects is left waiting.
        deaf = self._stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        self.deaf: tuple[str, int] = deaf.getsockname()
        for _ in range(2):
            filler = self._stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(self.deaf)

    @contextmanager
    def name(self, addresses: list[Any]) -> Iterator[str]:
        """A host name that has these addresses, in this order."""
        self._count += 1
        name = f"host{self._count}.test"
        self._names[name] = addresses
        yield name
        del self._names[name]

    async def _getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        if host not in self._names:
            return await self._resolve(host, port, **options)
        await turns(2)
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, address) for address in self._names[host]]

    async def idle_pool(self) -> None:
        """Wait until the loop's threads have nothing to do."""
        while self._pool.busy():
            await turns()

    def server_tls(self) -> dict[str, Any]:
        """What makes an accepted connection one with TLS."""
        return {"ssl": self.server_context}

    def client_tls(self) -> dict[str, Any]:
        """What makes a connection one with TLS."""
        return {"ssl": self.client_context, "server_hostname": "localhost"}

    def path(self, name: str) -> str:
        """A path for a socket that is not there yet."""
        self._count += 1
        return str(self.folder / f"{name}{self._count}")

    async def run(self, operation: Operation, plan: Plan) -> Round:
        """Run a round to its end. Raises `Violation`."""
        self._count += 1
        this = Round(self, operation.name, plan, self._count)
        self.rounds.append(this)
        try:
            async with asyncio.timeout(LONGEST):
                await operation.run(this)
        except TimeoutError as error:
            raise Violation("stuck", f"for {LONGEST} s: {this}") from error
        finally:
            this.finished = True
        return this

    async def settle(self, rounds: str) -> list[Violation]:
        """Wait until what the rounds began has ended; what they left behind, or did wrong."""
        deadline = time.monotonic() + TO_SETTLE
        await turns(3)
        mine = asyncio.current_task()
        while left := self._left(mine):
            if time.monotonic() > deadline:
                break
            await turns(10)
            gc.collect()
        found = [Violation("leaked", f"{text}\n  by {rounds}") for text in left]
        wrong, self.wrong = self.wrong + self.neighbours.wrong, []
        self.neighbours.wrong = []
        found += [Violation("crossed", f"{text}\n  by {rounds}") for text in wrong]
        for context in self._strays.take():
            if not self._is_expected(context):
                found.append(Violation("stray", f"{context}\n  by {rounds}"))
            context.clear()
        lost, self._ledger.lost_errors = self._ledger.lost_errors, []
        for text in lost:
            kind = "leaked" if "unclosed" in text else "stray"
            found.append(Violation(kind, f"{text}\n  by {rounds}"))
        return found

    def descriptors(self) -> dict[int, str]:
        """The open descriptors but for those of neighbours."""
        theirs = self.neighbours.numbers() if hasattr(self, "neighbours") else set()
        return {n: target for n, target in open_descriptors().items() if n not in theirs}

    def _left(self, mine: asyncio.Task[Any] | None) -> list[str]:
        now = self.descriptors()
        left = [
            f"descriptor {number} is open on {target}"
            for number, target in now.items()
            if self._baseline.get(number) != target
        ]
        left += [
            f"descriptor {number} was closed" for number in self._baseline if number not in now
        ]
        left += [f"{task}" for task in asyncio.all_tasks(self.loop) if task is not mine]
        left += [f"child process {child} is left" for child in children() - self._children]
        return left

    def _is_expected(self, context: Context) -> bool:
        error = context.get("exception")
        return context["message"] == _CLIENT_HUNG_UP and isinstance(
            error, ConnectionError | ssl.SSLError
        )
