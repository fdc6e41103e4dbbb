"""What the person sees meanwhile: a line for each file, and on a terminal a live bar below them."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import time
from types import TracebackType

ERASE_LINE = "\r\x1b[K"
REDRAW_EVERY = 0.1  # seconds


def human(size: float) -> str:
    """A number of bytes, for people: `4.0 MiB`."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


class Progress:
    """The sums over all files, and their picture. A context manager: inside it the bar is alive."""

    def __init__(self, files: int, *, quiet: bool = False) -> None:
        self.files = files
        self.finished = 0
        self.present = self.expected = self.received = 0  # bytes
        self.quiet = quiet
        self.live = not quiet and sys.stderr.isatty()
        self.started = time.monotonic()
        self.drawing: asyncio.Task[None] | None = None

    def track(self) -> Track:
        """The progress of one file, as a part of the whole."""
        return Track(self)

    def say(self, word: str, name: str, note: str) -> None:
        """One line about one file, above the bar."""
        if not self.quiet:
            self.erase()
            print(f"{word:<9}  {name}  {note}", flush=True)

    def done(self, word: str, name: str, note: str) -> None:
        """A file is there."""
        self.finished += 1
        self.say(word, name, note)

    def failed(self, name: str, reason: str) -> None:
        """A file could not be had: said also when quiet, and as an error."""
        self.finished += 1
        self.erase()
        print(f"{'failed':<9}  {name}  {reason}", file=sys.stderr, flush=True)

    def erase(self) -> None:
        if self.live:
            print(ERASE_LINE, end="", file=sys.stderr, flush=True)

    def bar(self, columns: int) -> str:
        """The bar, in at most `columns` characters."""
        seconds = max(time.monotonic() - self.started, 1e-3)
        rate = self.received / seconds
        text = (
            f" {self.finished}/{self.files} files  {human(self.present)} of "
            f"{human(self.expected)}  {human(rate)}/s"
        )
        if rate > 0 and self.expected > self.present:
            minutes, rest = divmod(round((self.expected - self.present) / rate), 60)
            text += f"  {minutes}:{rest:02} left"
        width = max(min(columns - len(text) - 2, 40), 0)
        full = width * self.present // self.expected if self.expected else 0
        return f"[{'#' * full}{'-' * (width - full)}]{text}"[:columns]

    async def draw(self) -> None:
        """Draw the bar again and again, until cancelled."""
        while True:
            columns = shutil.get_terminal_size().columns - 1
            print(ERASE_LINE + self.bar(columns), end="", file=sys.stderr, flush=True)
            await asyncio.sleep(REDRAW_EVERY)

    async def __aenter__(self) -> None:
        if self.live:
            self.drawing = asyncio.create_task(self.draw())

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.drawing is not None:
            self.drawing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.drawing
            self.erase()


class Track:
    """One file's share of the progress. An attempt that begins again takes its bytes back."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.position = self.size = 0

    def start(self, offset: int, rest: int | None) -> None:
        """`offset` bytes are there; `rest` are to come, if that is known."""
        size = offset + (rest or 0)
        self.progress.present += offset - self.position
        self.progress.expected += size - self.size
        self.position, self.size = offset, size

    def advance(self, count: int) -> None:
        """`count` more bytes have come."""
        self.position += count
        self.progress.present += count
        self.progress.received += count
        if self.position > self.size:  # the server did not say how many
            self.progress.expected += self.position - self.size
            self.size = self.position
