"""What the tests of process pools have workers call: a module that loads as fast as can be."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any


def echo(value: Any) -> Any:
    return value


def fail() -> None:
    raise LookupError("in the worker")


def end(sig: int) -> None:
    os.kill(os.getpid(), sig)
    time.sleep(60)


def write_and_wait(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)


def count_to(path: str, number: int) -> int:
    with open(path, "a") as file:
        file.write(f"{number}\n")
    return number


def unpicklable() -> Any:
    return lambda: None


class Unloadable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__("cannot be made again from this")


def unloadable() -> None:
    raise Unloadable(1, 2)


def bad_start() -> None:
    raise OSError("not today")


class Interrupted:
    """A value of which the first pickling is broken off, as by Ctrl-C."""

    done = False

    def __reduce__(self) -> tuple[type[int], tuple[()]]:
        if not self.done:
            self.done = True
            signal.raise_signal(signal.SIGINT)
        return int, ()


class Exiting:
    """A value whose unpickling exits."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return sys.exit, ("no value",)


def exiting() -> Exiting:
    return Exiting()
