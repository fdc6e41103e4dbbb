"""The same call on both loops, and what came of it, in a form that can be compared."""

from __future__ import annotations

import asyncio
import inspect
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from support.loops import RONDEL, STDLIB, Context, Loop, kinds, new_loop
from support.protocols import Recorder

Call = Callable[[Any], Any]


@dataclass
class Outcome:
    """What came of a call: a plain result or an exception, and what the loop reported."""

    error: BaseException | None = None
    value: Any = None
    reported: list[str] = field(default_factory=list)

    def kind(self) -> tuple[str, list[str]]:
        """The exception's type, or the result if it is a plain one; and the types reported."""
        if self.error is not None:
            return f"raised {type(self.error).__name__}", self.reported
        if self.value is None or isinstance(self.value, bool | int | float | str | bytes | tuple):
            return f"returned {plain(repr(self.value))}", self.reported
        return "returned something", self.reported

    def message(self) -> str:
        """The exception's message without what differs from run to run."""
        return "" if self.error is None else plain(str(self.error))


def plain(text: str) -> str:
    """Take addresses, numbers of descriptors and ports, and reprs of objects out of a text."""
    text = re.sub(r"<[^<>]*(<[^<>]*>[^<>]*)*>", "<>", text)
    text = re.sub(r"0x[0-9a-f]+", "0x", text)
    return re.sub(r"\d{2,}", "N", text)


class Stage:
    """A loop of one kind in some state, on which a call is made."""

    def __init__(self, kind: str) -> None:
        self.outcome = Outcome()
        self.loop = new_loop(kind)
        self.loop.set_exception_handler(self._report)
        self.loop.set_debug(False)

    def _report(self, loop: Loop, context: Context) -> None:
        error = context.get("exception")
        self.outcome.reported.append(type(error).__name__ if error else context["message"])

    def attempt(self, act: Callable[[], Any]) -> None:
        """Do it, and keep what came of it."""
        try:
            self.outcome.value = act()
        except Exception as error:
            # The traceback would keep the frames, and all they hold, alive.
            self.outcome.error = error.with_traceback(None)

    def end(self) -> Outcome:
        """Let the loop take a few turns, in which callbacks may fail, and close it."""
        if not self.loop.is_closed() and all(self.take_turn() for _ in range(3)):
            self.loop.set_debug(False)
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        return self.outcome

    def take_turn(self) -> bool:
        """Take a turn; an error that leaves it counts as the call's if that raised none."""
        self.loop.stop()
        try:
            self.loop.run_forever()
        except Exception as error:
            if self.outcome.error is None:
                self.outcome.error = error.with_traceback(None)
            return False
        return True


async def settled(value: Any) -> Any:
    """Await what a call returned if it can be awaited."""
    if inspect.isawaitable(value):
        async with asyncio.timeout(10):
            return await value
    return value


def on_a_resting_loop(kind: str, call: Call) -> Outcome:
    """Call with an open loop that does not run, then let it run for a few turns."""
    stage = Stage(kind)

    def act() -> Any:
        value = call(stage.loop)
        return stage.loop.run_until_complete(value) if inspect.isawaitable(value) else value

    stage.attempt(act)
    return stage.end()


def on_a_running_loop(kind: str, call: Call, *, debug: bool = False) -> Outcome:
    """Call with the running loop, from one of its tasks."""
    stage = Stage(kind)
    stage.loop.set_debug(debug)

    async def act() -> Any:
        return await settled(call(stage.loop))

    stage.attempt(lambda: stage.loop.run_until_complete(act()))
    return stage.end()


def on_a_running_loop_in_debug_mode(kind: str, call: Call) -> Outcome:
    """Call with the running loop in debug mode, from one of its tasks."""
    return on_a_running_loop(kind, call, debug=True)


def on_a_closed_loop(kind: str, call: Call) -> Outcome:
    """Call with a closed loop; a coroutine is driven to its first wait."""
    stage = Stage(kind)
    stage.loop.close()

    def act() -> Any:
        value = call(stage.loop)
        if not inspect.iscoroutine(value):
            return value
        try:
            value.send(None)
        except StopIteration as result:
            return result.value
        finally:
            value.close()
        return "waits"

    stage.attempt(act)
    return stage.end()


def from_another_thread_in_debug_mode(kind: str, call: Call) -> Outcome:
    """Call with a loop in debug mode that runs in another thread."""
    stage = Stage(kind)
    stage.loop.set_debug(True)

    async def main() -> None:
        def act() -> Any:
            value = call(stage.loop)
            if inspect.iscoroutine(value):
                value.close()
                return "a coroutine"
            return value

        thread = threading.Thread(target=stage.attempt, args=(act,))
        thread.start()
        thread.join()

    stage.loop.run_until_complete(main())
    return stage.end()


def on_a_transport(
    kind: str, call: Call, prepare: Callable[[Any], None] = lambda transport: None
) -> Outcome:
    """Call with a connected TCP transport that ``prepare`` brought into some state."""
    stage = Stage(kind)
    stage.loop.set_debug(False)

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            transport, protocol = await stage.loop.create_connection(
                Recorder, *listener.getsockname()
            )
            peer, _ = listener.accept()
        with peer:
            prepare(transport)
            for _ in range(3):
                await asyncio.sleep(0)
            stage.attempt(lambda: call(transport))
            for _ in range(3):
                await asyncio.sleep(0)
            if not protocol.count("lost"):
                transport.set_protocol(protocol)
                transport.abort()
                await protocol.lost()
            await asyncio.sleep(0)

    stage.loop.run_until_complete(main())
    return stage.end()


def compare(
    make_outcome: Callable[[str, Call], Outcome], call: Call, *, messages: bool = True
) -> None:
    """Make the call on both loops; the same must come of it, down to the message."""
    expected = make_outcome(STDLIB, call)
    actual = make_outcome(RONDEL if RONDEL in kinds() else STDLIB, call)
    assert actual.kind() == expected.kind(), f"{actual.error!r} for {expected.error!r}"
    if messages:
        assert actual.message() == expected.message()
