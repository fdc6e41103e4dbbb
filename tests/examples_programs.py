"""How the tests run the examples: each as a program of its own, from a foreign directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

from support.loops import RONDEL, STDLIB

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "python"
STRICT = (sys.executable, "-X", "dev", "-W", "error")


def environment() -> dict[str, str]:
    """This process's environment without proxies; what the program starts is as strict as it is."""
    return {
        **{name: value for name, value in os.environ.items() if "_proxy" not in name.lower()},
        "PYTHONDEVMODE": "1",
        "PYTHONWARNINGS": "error",
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
    }


def command(kind: str, program: str, *arguments: object) -> list[str]:
    """The command that runs an example on that kind of loop."""
    door = ("-m", "rondel") if kind == RONDEL else ()
    return [*STRICT, *door, str(EXAMPLES / f"{program}.py"), *map(str, arguments)]


def run(
    kind: str, program: str, *arguments: object, cwd: Path, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run an example to its end."""
    return subprocess.run(
        command(kind, program, *arguments),
        cwd=cwd,
        env=environment(),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def start(kind: str, program: str, *arguments: object, cwd: Path) -> subprocess.Popen[str]:
    """Start an example; its output streams are text pipes."""
    return subprocess.Popen(
        command(kind, program, *arguments),
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def complaints(stderr: str) -> list[str]:
    """The lines of ``stderr``, but for debug mode's remarks on slow callbacks of a busy machine."""
    return [
        line
        for line in stderr.splitlines()
        if not (line.startswith("Executing <") and line.endswith("seconds"))
    ]


class Server:
    """The examples' file server, running in a process of its own."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._open = build_opener(ProxyHandler({})).open

    def stats(self) -> dict[str, Any]:
        """What the server was asked until now."""
        with self._open(f"{self.url}/-/stats") as answer:
            stats: dict[str, Any] = json.load(answer)
        return stats

    def requests(self, path: str) -> list[dict[str, Any]]:
        """The requests for one path, in the order of their answers."""
        return [request for request in self.stats()["requests"] if request["path"] == path]

    def statuses(self, path: str) -> list[int]:
        """The status codes of the answers for one path."""
        return [request["status"] for request in self.requests(path)]


@contextmanager
def serving(directory: Path, *options: object) -> Iterator[Server]:
    """Run the file server; it must end well, and say nothing on stderr."""
    process = subprocess.Popen(
        command(STDLIB, "file_server", directory, "--while-stdin-open", *options),
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        try:
            yield Server(int(process.stdout.readline()))
        finally:
            _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (0, "")
