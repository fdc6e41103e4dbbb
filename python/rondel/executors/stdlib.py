"""The standard library's pool of threads, under a loop of Rondel's.

A call that a loop waits for needs no `concurrent.futures.Future`, with its lock and condition: it
goes into the pool's queue itself, in place of what `submit` would put there.
"""

from __future__ import annotations

import sys
from concurrent.futures import thread
from concurrent.futures.thread import BrokenThreadPool, ThreadPoolExecutor
from typing import Any

__all__ = ["ThreadPoolExecutor", "put"]

private: Any = thread


def put(executor: Any, call: Any) -> bool:
    """Do what `executor.submit()` does, with a call that is there already.

    False, and nothing is done, if somebody has replaced `submit`, as tools do that trace calls, or
    if this Python is newer than what is known here. Raises as `submit` does.
    """
    submit: Any = ThreadPoolExecutor.submit
    replaced = "submit" in vars(executor) or submit.__globals__ is not vars(thread)
    if replaced or sys.version_info >= (3, 16):
        return False
    with executor._shutdown_lock, private._global_shutdown_lock:
        if executor._broken:
            raise BrokenThreadPool(executor._broken)
        if executor._shutdown:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if private._shutdown:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        executor._work_queue.put(call)
        executor._adjust_thread_count()
    return True
