"""Programs run under plain python and on Rondel, in real processes, to be compared."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

RONDEL = ("-m", "rondel")
TIMEOUT = 60


class Outcome(NamedTuple):
    stdout: str
    stderr: str
    returncode: int


def python(
    *arguments: str | Path,
    cwd: Path,
    stdin: str | None = None,
    env: dict[str, str] | None = None,
) -> Outcome:
    """Run the interpreter of these tests with ``arguments``."""
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONASYNCIODEBUG"
    }
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        env={**environment, **(env or {})},
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=TIMEOUT,
        check=False,
    )
    return Outcome(done.stdout, done.stderr, done.returncode)


def same(
    cwd: Path,
    *program: str | Path,
    flags: tuple[str, ...] = (),
    stdin: str | None = None,
    env: dict[str, str] | None = None,
) -> Outcome:
    """Run ``program`` under plain python and on Rondel; return what both did alike."""
    plain = python(*flags, *program, cwd=cwd, stdin=stdin, env=env)
    on_rondel = python(*flags, *RONDEL, *program, cwd=cwd, stdin=stdin, env=env)
    if on_rondel != plain:
        raise AssertionError(f"on Rondel: {on_rondel}\nunder plain python: {plain}")
    return plain


def write(directory: Path, text: str | bytes, name: str = "program.py") -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path
