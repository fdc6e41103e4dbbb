"""Sockets of somebody else, who takes each descriptor number as soon as it is free.

Whoever closes a number twice closes theirs; whoever still reads, writes, watches or stops watching
a number that is no longer his does it to them, and they notice.
"""

from __future__ import annotations

import os
import random
import socket
from collections import deque

from support.loops import STDLIB, Loop
from support.ownership.pulse import Pulse

WIDTH = 10
"""So many pairs of sockets are open at a time."""
LOOKS_TO_LEAVE = 4
"""The loop looks so often between a neighbour's word and its end: time to receive it."""


class Neighbour:
    """A pair of connected sockets that carries one token, and whose left end may be watched."""

    def __init__(self, loop: Loop, number: int, *, watched: bool) -> None:
        self._loop = loop
        self._token = b"neighbour %d" % number
        self._received = bytearray()
        self.left, self.right = socket.socketpair()
        for end in (self.left, self.right):
            end.setblocking(False)
        self.numbers = [self.left.fileno(), self.right.fileno()]
        self._files = [os.fstat(number) for number in self.numbers]
        self._watched = watched
        if watched:
            loop.add_reader(self.left, self._receive)

    def _receive(self) -> None:
        try:
            self._received += self.left.recv(1000)
        except BlockingIOError:
            self._received += b"[woken for nothing]"

    def speak(self) -> None:
        """Send the token, which the left end receives within the next turns."""
        self.right.send(self._token)

    def leave(self) -> list[str]:
        """Close, and say what was wrong."""
        wrong: list[str] = []
        for number, file in zip(self.numbers, self._files, strict=True):
            try:
                now = os.fstat(number)
            except OSError:
                wrong.append(f"descriptor {number} was closed by somebody else")
            else:
                if not os.path.samestat(now, file):
                    wrong.append(f"descriptor {number} was closed, and is another file now")
        if not wrong:
            if self._watched and not self._loop.remove_reader(self.left):
                wrong.append(f"reader of {self.numbers[0]} was removed by somebody else")
            wrong += [
                f"descriptor {end.fileno()} was watched by somebody else"
                for end in (self.left, self.right)
                if self._loop.remove_reader(end) or self._loop.remove_writer(end)
            ]
            if not self._watched:
                self._receive()
            if self._received != self._token:
                wrong.append(f"{self._token!r} was sent, {bytes(self._received)!r} received")
            for end in (self.left, self.right):
                try:
                    wrong.append(f"{end.recv(1000)!r} came from somebody else")
                except BlockingIOError:
                    pass
        for end in (self.left, self.right):
            if wrong:
                end.detach()  # whose it is now is not known
            else:
                end.close()
        return wrong


class Neighbours:
    """Neighbours who come and go with every turn of the loop."""

    def __init__(self, loop: Loop, pulse: Pulse, kind: str, dice: random.Random) -> None:
        self._loop = loop
        self._pulse = pulse
        self._dice = dice
        # With the standard selector a number that was closed while it was watched cannot be
        # watched again; so there its neighbours do not watch.
        self._may_watch = kind != STDLIB
        self._settled: deque[Neighbour] = deque()
        self._leaving: deque[tuple[int, Neighbour]] = deque()
        self._count = 0
        self.wrong: list[str] = []
        self._handle = loop.call_soon(self._take_turn)

    def numbers(self) -> set[int]:
        """The descriptors that are theirs at the moment."""
        neighbours = [*self._settled, *(leaving for _, leaving in self._leaving)]
        return {number for neighbour in neighbours for number in neighbour.numbers}

    def move_in(self, count: int = 1) -> None:
        """Take the lowest free numbers, at once."""
        for _ in range(count):
            self._count += 1
            watched = self._may_watch and self._dice.random() < 0.5
            self._settled.append(Neighbour(self._loop, self._count, watched=watched))

    def _take_turn(self) -> None:
        self._handle = self._loop.call_soon(self._take_turn)
        while self._leaving and self._pulse.looks - self._leaving[0][0] >= LOOKS_TO_LEAVE:
            self.wrong += self._leaving.popleft()[1].leave()
        while len(self._settled) > WIDTH:
            leaving = self._settled.popleft()
            leaving.speak()
            self._leaving.append((self._pulse.looks, leaving))
        self.move_in(self._dice.randrange(3))

    def speak_all(self) -> None:
        """Take nothing more; all are about to leave."""
        self._handle.cancel()
        while self._settled:
            leaving = self._settled.popleft()
            leaving.speak()
            self._leaving.append((self._pulse.looks, leaving))

    def leave_all(self) -> list[str]:
        """Close all, `LOOKS_TO_LEAVE` after `speak_all`; what was wrong with any of them."""
        while self._leaving:
            self.wrong += self._leaving.popleft()[1].leave()
        wrong, self.wrong = self.wrong, []
        return wrong
