"""All workloads, in the order in which tables show them."""

from __future__ import annotations

from benches.workload import Workload
from benches.workloads import (
    callbacks,
    cost,
    executors,
    http,
    process_pools,
    sockets,
    synchronisation,
    tasks,
    threads,
)

WORKLOADS: tuple[Workload, ...] = (
    *callbacks.WORKLOADS,
    *tasks.WORKLOADS,
    *synchronisation.WORKLOADS,
    *threads.WORKLOADS,
    *executors.WORKLOADS,
    *process_pools.WORKLOADS,
    *sockets.WORKLOADS,
    *http.WORKLOADS,
    *cost.WORKLOADS,
)
