"""What a fork does to loops: the child has copies of them, and what is sent is sent once.

The descriptors in which a loop parks are shared by the parent and its child; native code puts
others in their place before the child's copy of a loop uses them. What is here is done at the
interpreter's own moments before and after a fork, which only forks made by Python code have.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from rondel._rondel import LoopCore

__all__ = ["register"]


def register() -> None:
    """Have the interpreter call what is here at every fork; called once, at import."""
    os.register_at_fork(before=_flush_running_loop)
    if sys.version_info < (3, 12):
        # What a child receives is not its parent's; from 3.12 on asyncio sees to it.
        os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))


def _flush_running_loop() -> None:
    running = asyncio._get_running_loop()
    if isinstance(running, LoopCore):
        running._flush_before_fork()
