"""All targets: how many at once, and when to try again."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from mirror_app.download import Outcome, PermanentError, TransientError, download
from mirror_app.progress import Progress
from mirror_app.targets import Target

LONGEST_PAUSE = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Options:
    """How to go about it. Times are seconds."""

    folder: Path
    jobs: int
    retries: int
    backoff: float
    timeout: float


async def mirror(targets: list[Target], options: Options, progress: Progress) -> Counter[str]:
    """Download every target; count the outcomes: `fetched`, `unchanged`, `failed`."""
    outcomes: Counter[str] = Counter()
    waiting = iter(targets)  # shared: each worker takes the next one
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),  # the workers are the limit
        timeout=aiohttp.ClientTimeout(
            connect=options.timeout, sock_connect=options.timeout, sock_read=options.timeout
        ),
        auto_decompress=False,
        trust_env=True,
    )
    async with session, progress, asyncio.TaskGroup() as group:
        for _ in range(min(options.jobs, len(targets))):
            group.create_task(work(waiting, session, options, progress, outcomes))
    return outcomes


async def work(
    waiting: Iterator[Target],
    session: aiohttp.ClientSession,
    options: Options,
    progress: Progress,
    outcomes: Counter[str],
) -> None:
    """Download one target after the other, until none is waiting."""
    for target in waiting:
        try:
            outcome, note = await with_retries(session, target, options, progress)
        except PermanentError as error:
            outcomes["failed"] += 1
            progress.failed(target.name, str(error))
        else:
            outcomes[outcome.value] += 1
            progress.done(outcome.value, target.name, note)


async def with_retries(
    session: aiohttp.ClientSession, target: Target, options: Options, progress: Progress
) -> tuple[Outcome, str]:
    """Download one target, as often as it takes or is allowed. Raises `PermanentError`."""
    track = progress.track()
    for retry in range(options.retries + 1):
        try:
            return await download(session, target, options.folder, track)
        except TransientError as error:
            if retry == options.retries:
                raise PermanentError(f"{error} ({retry + 1} attempts)") from error
            pause = max(error.pause, options.backoff * 2**retry * random.uniform(0.5, 1))
            pause = min(pause, LONGEST_PAUSE)
            progress.say("retry", target.name, f"in {pause:.1f} s: {error}")
        await asyncio.sleep(pause)
    raise AssertionError("the last attempt returns or raises")
