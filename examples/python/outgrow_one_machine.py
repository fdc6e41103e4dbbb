"""Outgrowing one machine: one program, on local processes, a dask cluster or MPI.

What to see: `main` knows nothing but `concurrent.futures.Executor`. Where its calls are made is
said in one line, and the answer is the same everywhere.

`outgrow_one_machine.py [processes | loky | dask [SCHEDULER] | mpi]`; without arguments, processes.
For MPI: `mpiexec -n 3 python -m mpi4py.futures outgrow_one_machine.py mpi`.
docs/past_one_machine.md says when to use which.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager

STEP = 5_000
PARTS = [range(start, start + STEP) for start in range(0, 60_000, STEP)]


def count_primes(numbers: range) -> int:
    """Count the primes among ``numbers``, the slow way."""
    return sum(
        number > 1 and all(number % factor for factor in range(2, int(number**0.5) + 1))
        for number in numbers
    )


async def main(executor: Executor) -> None:
    """Give every part to the executor, and await all the counts."""
    loop = asyncio.get_running_loop()
    work = [loop.run_in_executor(executor, count_primes, part) for part in PARTS]
    counts = await asyncio.gather(*work)
    print(f"{sum(counts)} primes below {PARTS[-1].stop}, counted in {len(counts)} parts")


@contextmanager
def executor_of(kind: str, *scheduler: str) -> Iterator[Executor]:
    """Yield an executor of that kind; it has ended when the context does."""
    if kind == "processes":
        clean = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(max_workers=2, mp_context=clean) as executor:
            yield executor
    elif kind == "loky":
        from loky import ProcessPoolExecutor as LokyExecutor

        with LokyExecutor(max_workers=2) as executor:
            yield executor
    elif kind == "dask":
        from distributed import Client, LocalCluster

        # Without the address of a scheduler, a cluster on this machine, to try it. It is started
        # before the loop runs: the client is a blocking one.
        cluster = None if scheduler else LocalCluster(n_workers=2, dashboard_address=None)
        with Client(*(scheduler or [cluster])) as client:
            # Without pure=False, dask makes equal calls once.
            yield client.get_executor(pure=False)
        if cluster is not None:
            cluster.close()
    elif kind == "mpi":
        from mpi4py.futures import MPIPoolExecutor

        with MPIPoolExecutor() as executor:
            yield executor
    else:
        sys.exit(f"no such executor: {kind}")


if __name__ == "__main__":
    with executor_of(*sys.argv[1:] or ["processes"]) as executor:
        asyncio.run(main(executor))
