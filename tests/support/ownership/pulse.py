"""The loop's turns, counted, and things done at a chosen one."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable

from support.loops import Loop

Action = Callable[[], object]


class Pulse:
    """Counts the turns of a loop and acts in them: before the turn's I/O, or amid it.

    While it beats the loop does not sleep, so what happens in which turn does not depend on time.
    """

    def __init__(self, loop: Loop) -> None:
        self.turn = 0
        self.looks = 0
        """So many turns looked at the descriptors: quick turns in a row need not, on Rondel."""
        self._loop = loop
        self._early: defaultdict[int, list[Action]] = defaultdict(list)
        self._late: defaultdict[int, list[Action]] = defaultdict(list)
        # Always readable, so that its reader runs among the events of each turn that looks.
        self._event = os.eventfd(1, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._loop.add_reader(self._event, self._beat_amid_events)
        self._handle = self._loop.call_soon(self._beat)

    def after(self, turns: int, action: Action, *, late: bool = False) -> None:
        """Do it so many turns from now: early, or among the events of the first that looks."""
        (self._late if late else self._early)[self.turn + 1 + turns].append(action)

    def stop(self) -> None:
        """Let the loop sleep again."""
        self._handle.cancel()
        self._loop.remove_reader(self._event)
        os.close(self._event)

    def _beat(self) -> None:
        self.turn += 1
        self._handle = self._loop.call_soon(self._beat)
        for action in self._early.pop(self.turn, ()):
            action()

    def _beat_amid_events(self) -> None:
        self.looks += 1
        for turn in sorted(turn for turn in self._late if turn <= self.turn):
            for action in self._late.pop(turn):
                action()
