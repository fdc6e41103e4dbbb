"""Each operation is cancelled after no turn of the loop, after one, and so on, until it completes.

Whatever the turn, nothing is leaked, lost, given to somebody else or left unusable, and nobody is
stuck.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from support.certificates import Certificates
from support.leaks import Ledger, Strays
from support.loops import RONDEL, Loop
from support.ownership.catalogue import OPERATIONS
from support.ownership.flaws import flaw
from support.ownership.rounds import Operation, Plan
from support.ownership.world import World


def turns_to_try(operation: Operation) -> Iterator[int]:
    """Each turn, or ever fewer when it takes thousands since threads take part."""
    turn = 0
    while True:
        yield turn
        turn += 1 if turn < 12 or not operation.waits_for_others else turn // 3


def moments(kind: str, operation: Operation) -> Iterable[tuple[bool, int]]:
    """Whether the cancellation comes late in its turn; in which turn the other side acts."""
    if operation.waits_for_others:
        return [(False, 1)]  # which turn is which depends on time; chance finds the others
    if kind != RONDEL:
        return [(False, 0), (True, 1), (False, 2)]
    return itertools.product((False, True), (0, 1, 2, 4))


@pytest.mark.parametrize("name", OPERATIONS)
async def test_cancelled_at_each_turn(
    name: str,
    loop: Loop,
    loop_kind: str,
    certificates: Certificates,
    tmp_path: Path,
    strays: Strays,
    nothing_left_behind: Ledger,
) -> None:
    operation = OPERATIONS[name]
    world = World(loop, loop_kind, name, tmp_path, certificates, strays, nothing_left_behind)
    async with world:

        async def cancelled_in_time(plan: Plan) -> bool:
            this = await world.run(operation, plan)
            for violation in await world.settle(f"{name}: {plan}"):
                raise violation
            return this.cancelled_in_time

        for turns in (0, 1, 5):
            await cancelled_in_time(Plan(peer=turns))
        if flaw(loop_kind, name):
            return
        for late, peer in moments(loop_kind, operation):
            for cancel in turns_to_try(operation):
                if not await cancelled_in_time(Plan(cancel, late=late, peer=peer)):
                    break
