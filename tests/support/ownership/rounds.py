"""A round: one operation, cancelled as planned, and what came of it."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from support.loops import Loop

if TYPE_CHECKING:
    from support.ownership.world import World


class Violation(AssertionError):
    """Something that a round must not do; ``kind`` is one word for it.

    ``lost``: data or a connection is gone. ``leaked``: a descriptor is left. ``crossed``: somebody
    got what is another's. ``stuck``: something never ends. ``stray``: an error was reported that
    nobody made. ``broken``: what was cancelled left something unusable. ``swallowed``: the
    cancellation had no effect.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


@dataclass(frozen=True)
class Plan:
    """When the operation is cancelled, in turns of the loop, and what the other side does when."""

    cancel: int | None = None
    """Turns until the cancellation; `None`: there is none."""
    late: bool = False
    """Whether it comes amid the turn's events; otherwise before them."""
    again: int | None = None
    """Turns until it comes a second time."""
    peer: int = 0
    """Turns until the other side acts."""

    def __str__(self) -> str:
        if self.cancel is None:
            return f"not cancelled, the other side acts after {self.peer} turns"
        again = "" if self.again is None else f" and {self.again} turns after that"
        when = "amid events " if self.late else ""
        return f"cancelled {when}after {self.cancel} turns{again}, the other side after {self.peer}"


@dataclass
class Outcome:
    """What came of the operation that was to be cancelled."""

    cancelled: bool = False
    value: Any = None
    error: BaseException | None = None

    @property
    def done(self) -> bool:
        """Whether it was neither cancelled nor failed."""
        return not self.cancelled and self.error is None


Action = Callable[[], object]


class Round:
    """One run of an operation: it has a token of its own, by which its data is known."""

    def __init__(self, world: World, name: str, plan: Plan, number: int) -> None:
        self.world = world
        self.loop: Loop = world.loop
        self.name = name
        self.plan = plan
        self.token = b"%s-%d" % (name.replace(" ", "-").encode(), number)
        self.dice = random.Random(f"{world.seed} {number}")
        self.cancelled_in_time = False
        self.finished = False
        self._pending: Action | None = None

    def __str__(self) -> str:
        state = "" if self.finished else ", not finished"
        return f"{self.name} ({self.token.decode()}): {self.plan}{state}"

    async def attempt(self, work: Coroutine[Any, Any, Any] | Awaitable[Any]) -> Outcome:
        """Run it as a task that is cancelled as planned, to its end."""
        task = asyncio.ensure_future(work)
        self._plan_cancellation(task)
        await asyncio.wait([task])
        if task.cancelled():
            return Outcome(cancelled=True)
        if self.cancelled_in_time:
            self.violate("swallowed", f"{task!r} was cancelled, and went on")
        error = task.exception()
        return Outcome(error=error) if error else Outcome(value=task.result())

    def _plan_cancellation(self, task: asyncio.Future[Any]) -> None:
        plan, pulse = self.plan, self.world.pulse
        if plan.cancel is None:
            return

        def cancel() -> None:
            if task.cancel():
                self.cancelled_in_time = True

        pulse.after(plan.cancel, cancel, late=plan.late)
        if plan.again is not None:
            pulse.after(plan.cancel + plan.again, cancel, late=plan.late)

    def meanwhile(self, action: Action) -> None:
        """Have the other side act when the plan says."""
        self._pending = action
        self.world.pulse.after(self.plan.peer, self.act_now)

    def act_now(self) -> None:
        """Have the other side act, if it has not yet."""
        action, self._pending = self._pending, None
        if action is not None:
            action()

    def violate(self, kind: str, text: str) -> None:
        """Say that something happened that must not."""
        raise Violation(kind, f"{text}\n  in {self}")

    def insist(self, holds: bool, kind: str, text: str) -> None:
        """Say so unless it holds."""
        if not holds:
            self.violate(kind, text)

    def close(self, *sockets: socket.socket) -> None:
        """Close sockets; their numbers are taken by somebody else at once."""
        for sock in sockets:
            sock.close()
        self.world.neighbours.move_in(len(sockets))


Run = Callable[[Round], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Operation:
    """Something that can be cancelled, with all that surrounds it."""

    name: str
    run: Run
    covers: tuple[str, ...]
    """The coroutine functions that it waits for, as ``Class.method`` or ``function``."""
    waits_for_others: bool
    """Whether threads or processes take part, so that the turns it takes depend on time."""


def operation(*covers: str, waits_for_others: bool = False) -> Callable[[Run], Operation]:
    """Make a function an operation of its name, for the catalogue."""

    def make(run: Run) -> Operation:
        return Operation(run.__name__.replace("_", " "), run, covers, waits_for_others)

    return make
