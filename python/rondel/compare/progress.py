"""How far a run is, on standard error: a bar on a terminal, a line per step elsewhere."""

from __future__ import annotations

import shutil
from types import TracebackType
from typing import Self, TextIO

_WIDTH = 28


class Progress:
    """A context manager; call :meth:`step` before each of ``total`` steps."""

    def __init__(self, total: int, stream: TextIO) -> None:
        self._total = total
        self._stream = stream
        self._done = 0
        self._heading = ""
        self._is_terminal = stream.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def skip(self, steps: int) -> None:
        """Count steps that will not be taken."""
        self._done += steps

    def step(self, heading: str, detail: str) -> None:
        """Show that a step begins; without a terminal, only when the heading is a new one."""
        if self._is_terminal:
            filled = _WIDTH * self._done // self._total
            bar = "█" * filled + "░" * (_WIDTH - filled)
            percent = 100 * self._done // self._total
            line = f"{bar} {percent:3d}%  {heading}: {detail}"
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r{line[:width]}\x1b[K")
            self._stream.flush()
        elif heading != self._heading:
            print(heading, file=self._stream, flush=True)
        self._heading = heading
        self._done += 1
