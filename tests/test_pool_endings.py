"""How pools end: in every state and in every way, soon, and leaving nothing."""

from __future__ import annotations

import mmap
import os
import socket

import pytest
from pool_endings.endings import DRIVERS, ENDINGS, POOLS, STATES, try_out
from pool_endings.program import held, more

WITHIN = 15.0
"""Seconds; `make endings` asks for one, on a machine that does nothing else."""


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("pool", POOLS)
def test_a_pool_ends_soon_in_every_state_and_leaves_nothing(
    pool: str, driver: str, ending: str
) -> None:
    ended = list(try_out(pool, driver, ending, STATES))
    assert [end.state for end in ended] == list(STATES)
    assert not [str(end) for end in ended if not end.is_well(WITHIN)]


def test_what_a_pool_leaves_would_be_seen() -> None:
    before = held()
    assert not more(before)
    memory = os.memfd_create("rondel-arena")
    os.ftruncate(memory, mmap.PAGESIZE)
    with socket.socket(), mmap.mmap(memory, mmap.PAGESIZE):
        assert {"descriptors", "shared memory"} <= more(before).keys()
    os.close(memory)
    assert not more(before)
