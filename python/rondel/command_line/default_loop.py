"""Makes Rondel the event loop that asyncio creates when a program names none.

``asyncio.run``, ``asyncio.Runner``, ``asyncio.new_event_loop`` and, on Pythons where it still
creates one, ``asyncio.get_event_loop`` all end in the default policy's ``new_event_loop``, which
calls the class attribute ``_loop_factory`` (CPython 3.11 to 3.15). Replacing that one attribute,
and not the policy, leaves everything around it as the program expects it: the policy is Python's
own with its child watchers, ``asyncio.set_event_loop_policy(None)`` leads back to Rondel, classes
derived from the default policy get Rondel loops, and nothing deprecated is called. What a
program chooses itself, such as ``loop_factory=`` or ``asyncio.SelectorEventLoop()``, never comes
by here.
"""

from __future__ import annotations

import asyncio
import os
import sys

import rondel
from rondel.command_line import spawned


def use_rondel(*, debug: bool = False, spin: bool | float = False) -> None:
    """Give Rondel loops to this process and to the Python processes it makes by multiprocessing.

    ``debug`` turns on asyncio's debug mode as the variable ``PYTHONASYNCIODEBUG`` does, also for
    programs started from here. ``spin`` is what the loops do that are not told otherwise.
    """
    policy = getattr(asyncio.unix_events, "_UnixDefaultEventLoopPolicy", None)
    if policy is not None:
        policy._loop_factory = rondel.Loop
    else:
        # A Python without policies: the function is the only door left.
        for module in (asyncio, asyncio.events):
            setattr(module, "new_event_loop", rondel.new_event_loop)  # noqa: B010
    if sys.version_info >= (3, 13):
        # The documented name of "the most efficient loop of this platform".
        setattr(asyncio, "EventLoop", rondel.Loop)  # noqa: B010
    rondel.Loop.default_spin = spin
    if debug:
        os.environ["PYTHONASYNCIODEBUG"] = "1"
        if sys.flags.ignore_environment:
            # python -E and -I do not look at the variable; loops ask this function.
            setattr(asyncio.coroutines, "_is_debug_mode", lambda: True)  # noqa: B010
    spawned.follow(debug=debug, spin=spin)
