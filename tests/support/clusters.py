"""What calls are made on past one machine: a dask cluster and MPI, here all on loopback."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.child import environment
from support.leaks import eventually
from support.required import program

PATIENCE = 60.0
"""Seconds that a part of a cluster may take to start or to end."""

MPI_AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


class Dask:
    """A scheduler and its workers, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "scheduler.json"
        self._parts: list[subprocess.Popen[bytes]] = []
        self._workers = 0
        self._start("scheduler", "--port", "0", "--scheduler-file", self._file)
        # It is there for a moment before anything is in it.
        eventually(lambda: self._file.exists() and self._file.read_text() != "", within=PATIENCE)
        self.address: str = json.loads(self._file.read_text())["address"]

    def start_worker(self) -> subprocess.Popen[bytes]:
        """Start one more worker with one thread, and wait until the scheduler knows it."""
        self._workers += 1
        name = f"worker {self._workers}"
        options = ("--scheduler-file", self._file, "--nthreads", 1, "--no-nanny")
        worker = self._start("worker", *options, "--name", name, "--local-directory", self._folder)
        log = self._folder / "scheduler.log"
        registered = f"name: {name}"
        eventually(
            lambda: registered in log.read_text() or worker.poll() is not None, within=PATIENCE
        )
        assert registered in log.read_text()
        return worker

    def _start(self, part: str, *options: object) -> subprocess.Popen[bytes]:
        name = part if part == "scheduler" else f"worker{self._workers}"
        with (self._folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *(str(program("setpriv", package="util-linux")), "--pdeathsig=KILL"),
                    *(sys.executable, "-m", "dask", part),
                    *("--host", "127.0.0.1", "--no-dashboard", *map(str, options)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                start_new_session=True,
            )
        self._parts.append(process)
        return process

    def close(self) -> None:
        """End every part, workers first."""
        for part in reversed(self._parts):
            part.send_signal(signal.SIGINT)
            part.wait(PATIENCE)


@contextmanager
def dask(folder: Path) -> Iterator[Dask]:
    """A scheduler with two workers, for as long as the context."""
    cluster = Dask(folder)
    try:
        cluster.start_worker()
        cluster.start_worker()
        yield cluster
    finally:
        cluster.close()


def mpi(processes: int) -> list[str]:
    """How a command begins that runs in so many MPI processes on this machine."""
    mpiexec = program("mpiexec", package="openmpi-bin", folders=[Path(sys.executable).parent])
    return [
        *(str(mpiexec), "--oversubscribe", "--bind-to", "none"),
        *("--mca", "btl_tcp_if_include", "lo", "-n", str(processes)),
    ]


def run(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``command`` to its end; its output is text."""
    return subprocess.run(
        command,
        env={**environment(), **MPI_AS_ROOT, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
