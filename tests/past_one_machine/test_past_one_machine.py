"""``run_in_executor`` takes any executor: calls made by dask, by loky and over MPI.

What the calls are, and what is expected of them, is in ``calls.py``, a program that runs on each
loop. Here are the processes that it is run beside.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.child import TESTS
from support.clusters import Dask, dask, mpi, run
from support.loops import RONDEL, kinds
from support.required import library

if sys.version_info < (3, 13):
    pytest.skip("one Python is enough: 3.13, or a later one", allow_module_level=True)
if sys.version_info >= (3, 15):
    pytest.skip("PyYAML, which dask needs, has no wheel", allow_module_level=True)

for name in ("distributed", "loky", "mpi4py"):
    library(name)

CALLS = Path(__file__).with_name("calls.py")
EXAMPLE = TESTS.parent / "examples" / "python" / "outgrow_one_machine.py"

BEHAVIOURS = {
    "many_calls": "a thousand calls at once give the right results in order",
    "elsewhere": "calls are made in other processes",
    "free_loop": "the loop goes on while a call is made",
    "remote_traceback": "an error has its type, its arguments and the remote traceback",
    "cancellation": "what is cancelled while it waits is not made, and the executor goes on",
}
"""What every executor does, by the names of the functions in ``calls.py``."""

LOOP = kinds()[-1]
"""Where the executor alone is what is tested, one loop will do."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    """A dask scheduler with two workers."""
    with dask(tmp_path_factory.mktemp("dask")) as cluster:
        yield cluster


def python(*arguments: object) -> list[str]:
    """Warnings are errors; in development mode dask is busy with itself for seconds."""
    return [sys.executable, "-W", "error", *map(str, arguments)]


def outcomes(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """What came of each behaviour in a program that ended by itself, without a complaint."""
    assert (done.stderr, done.returncode) == ("", 0)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


@pytest.fixture(scope="module", params=kinds())
def on_dask(request: pytest.FixtureRequest, cluster: Dask) -> dict[str, str]:
    """What came of the behaviours on a cluster."""
    calls = [CALLS, request.param, "dask", ",".join(BEHAVIOURS), cluster.address]
    return outcomes(run(python(*calls)))


@pytest.fixture(scope="module", params=kinds())
def on_loky(request: pytest.FixtureRequest) -> dict[str, str]:
    """What came of them in processes of loky."""
    return outcomes(run(python(CALLS, request.param, "loky", ",".join(BEHAVIOURS))))


@pytest.fixture(scope="module", params=kinds())
def on_mpi(request: pytest.FixtureRequest) -> dict[str, str]:
    """What came of them in a program of two MPI workers."""
    calls = [CALLS, request.param, "mpi", ",".join(BEHAVIOURS)]
    return outcomes(run([*mpi(3), *python("-m", "mpi4py.futures", *calls)]))


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_calls_on_a_dask_cluster(on_dask: dict[str, str], behaviour: str) -> None:
    assert on_dask[behaviour] == "ok", BEHAVIOURS[behaviour]


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_calls_in_processes_of_loky(on_loky: dict[str, str], behaviour: str) -> None:
    assert on_loky[behaviour] == "ok", BEHAVIOURS[behaviour]


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_calls_over_mpi(on_mpi: dict[str, str], behaviour: str) -> None:
    assert on_mpi[behaviour] == "ok", BEHAVIOURS[behaviour]


def test_dask_gives_what_a_killed_worker_had_to_another(cluster: Dask) -> None:
    victim = cluster.start_worker()
    calls = python(CALLS, LOOP, "dask", "killed_worker", cluster.address)
    done = run(calls, TO_BE_KILLED=str(victim.pid))
    assert (done.stdout, done.returncode) == ("killed_worker ok\n", 0), done.stderr
    # Of results that were lost with it, the client says that it has them computed again.
    said = done.stderr.splitlines()
    assert all("distributed.client - WARNING - Couldn't gather" in line for line in said), said
    assert victim.wait() == -signal.SIGKILL


def test_dask_makes_equal_calls_once_unless_told_that_they_are_not_pure(cluster: Dask) -> None:
    done = run(python(CALLS, LOOP, "dask", "pure_calls", cluster.address))
    assert outcomes(done) == {"pure_calls": "ok"}


def test_a_pool_of_loky_that_breaks_says_so_in_every_call() -> None:
    assert outcomes(run(python(CALLS, LOOP, "loky", "broken_pool"))) == {"broken_pool": "ok"}


@pytest.mark.skipif(RONDEL not in kinds(), reason="Rondel is not built here")
@pytest.mark.parametrize("executor", ["loky", "dask", "mpi"])
def test_the_example_switches_by_one_line(executor: str, cluster: Dask) -> None:
    """It is run as users do; on local processes it is tested with the other examples."""
    if executor == "mpi":
        program = [*mpi(3), *python("-m", "mpi4py.futures", EXAMPLE, executor)]
    else:
        scheduler = [cluster.address] if executor == "dask" else []
        program = python("-m", "rondel", EXAMPLE, executor, *scheduler)
    done = run(program)
    assert done.stdout == "6057 primes below 60000, counted in 12 parts\n", done.stderr
    assert (done.stderr, done.returncode) == ("", 0)
