"""Running a soak: rounds of exchanges, and a rest after each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from soak import samples
from soak.house import WORKER_PROCESSES, Complaints, House
from soak.samples import Sample, Series

Exchange = Callable[[House], Awaitable[None]]

LIMIT = 60.0
"""Seconds after which an exchange is taken to be lost."""
SETTLING = 10.0
"""Seconds that what an exchange leaves to the loop (closing, mostly) may take to be over."""
WORKERS = 3
"""How many of each kind of exchange run side by side."""


class Soak:
    """A soak under way: what was done, what failed, and what was held in each rest."""

    def __init__(self, house: House, complaints: Complaints, exchanges: Iterable[Exchange]) -> None:
        self.house = house
        self.complaints = complaints
        self.exchanges = {exchange.__name__: exchange for exchange in exchanges}
        self.done = dict.fromkeys(self.exchanges, 0)
        self.failed: dict[str, list[str]] = {name: [] for name in self.exchanges}
        self.series = Series()
        self._first: Sample | None = None
        self._patience = SETTLING
        self._resting = False

    async def run(self, seconds: float, rest_every: float, show: Callable[[Sample], None]) -> None:
        """Alternate rounds and rests for so many seconds; `show` each sample as it is taken.

        The first sample, to which others are compared, is taken when all has been done once.
        """
        samples.fill_interned()
        await self.house.open()
        try:
            started = time.monotonic()
            for name in self.exchanges:
                await self._exchange(name)
            await self._settle()
            show(self._sample(time.monotonic() - started, samples.descriptors()))
            while (elapsed := time.monotonic() - started) < seconds:
                # What is left goes into the last round, not into one that is too short to matter.
                left = seconds - elapsed
                busy = await self._round(left if left < 1.5 * rest_every else rest_every)
                await self._settle()
                show(self._sample(time.monotonic() - started, busy))
        finally:
            await self.house.close()

    async def _round(self, seconds: float) -> int:
        """Work for so many seconds; the descriptors open half-way."""
        self._resting = False
        workers = [
            asyncio.create_task(self._work(name)) for name in self.exchanges for _ in range(WORKERS)
        ]
        await asyncio.sleep(seconds / 2)
        busy = samples.descriptors()
        await asyncio.sleep(seconds / 2)
        self._resting = True
        await asyncio.gather(*workers)
        return busy

    async def _work(self, name: str) -> None:
        while not self._resting:
            await self._exchange(name)

    async def _exchange(self, name: str) -> None:
        try:
            async with asyncio.timeout(LIMIT):
                await self.exchanges[name](self.house)
        except Exception as error:
            self.failed[name].append(f"{type(error).__name__}: {error}")
        else:
            self.done[name] += 1

    async def _settle(self) -> None:
        """Wait until what the last exchanges began to close is closed."""
        deadline = time.monotonic() + self._patience
        while True:
            await asyncio.sleep(0.02)
            if self._is_as_at_first():
                return
            if time.monotonic() > deadline:
                self._patience = 0.0  # something stays: the next rests will show it too
                return

    def _is_as_at_first(self) -> bool:
        now = (samples.descriptors(), len(asyncio.all_tasks()), samples.children())
        if self._first is None:
            return now[1:] == (1, WORKER_PROCESSES)
        return now == (self._first.descriptors, self._first.tasks, self._first.children)

    def _sample(self, seconds: float, busy: int) -> Sample:
        sample = samples.take(seconds, sum(self.done.values()), busy)
        self.series.append(sample)
        if self._first is None:
            self._first = sample
        return sample
