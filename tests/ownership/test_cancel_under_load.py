"""Operations at random, many at a time, each cancelled at a random turn, and some twice.

Nothing is leaked, lost, or given to somebody else, and nobody is stuck; descriptors are recycled
at once. A batch is a loop of its own with a seed of its own, so that it can be run again alone.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from support.certificates import Certificates
from support.fuzz import ROUNDS, SEED, replay
from support.leaks import Ledger, Strays
from support.loops import RONDEL, STDLIB, LoopFactory
from support.ownership.catalogue import OPERATIONS
from support.ownership.flaws import flaw
from support.ownership.rounds import Operation, Plan
from support.ownership.world import World

BATCH = 100
"""Rounds on one loop."""
AT_A_TIME = 20
"""Rounds that are under way at the same time."""
PARTS = max(1, ROUNDS // 1000)
SHARE = {RONDEL: 1.0, STDLIB: 0.05}
"""How much of it each loop gets; Rondel in debug mode gets a tenth."""


def batches(kind: str, part: int) -> range:
    """The batches of one part."""
    count = max(1, round(ROUNDS * SHARE.get(kind, 0.1)) // BATCH)
    return range(count * part // PARTS, count * (part + 1) // PARTS)


def random_plan(dice: random.Random, operation: Operation) -> Plan:
    """When to cancel, if at all: mostly within the turns that an operation takes."""
    peer = dice.randrange(8)
    # Around the turn in which the other side acts it is most likely to matter.
    cancel: int | None = dice.choice([dice.randrange(16), peer + dice.randrange(5)])
    if operation.waits_for_others and dice.random() < 0.5:
        cancel = round(16 * 20 ** dice.random())
    if dice.random() < 0.1:
        cancel = None
    again = dice.randrange(4) if dice.random() < 0.15 else None
    return Plan(cancel, late=dice.random() < 0.5, again=again, peer=peer)


async def run_batch(world: World, dice: random.Random, rounds: int) -> None:
    operations = [it for it in OPERATIONS.values() if not flaw(world.kind, it.name)]
    weights = [1 if operation.waits_for_others else 4 for operation in operations]
    chosen = iter(dice.choices(operations, weights, k=rounds))

    async def work() -> None:
        for operation in chosen:
            await world.run(operation, random_plan(dice, operation))

    # All come to their end, also if one of them fails.
    for result in await asyncio.gather(*[work() for _ in range(AT_A_TIME)], return_exceptions=True):
        if result is not None:
            raise result


@pytest.mark.parametrize("part", range(PARTS))
def test_cancelled_at_random(
    part: int,
    loop_kind: str,
    loop_factory: LoopFactory,
    certificates: Certificates,
    tmp_path: Path,
    strays: Strays,
    nothing_left_behind: Ledger,
) -> None:
    for batch in batches(loop_kind, part):
        seed, rounds = SEED + batch, min(BATCH, ROUNDS)
        folder = tmp_path / str(batch)
        folder.mkdir()
        loop = loop_factory()
        world = World(loop, loop_kind, seed, folder, certificates, strays, nothing_left_behind)

        async def main() -> None:
            async with world:
                await run_batch(world, random.Random(seed), rounds)
                for violation in await world.settle("one of the rounds"):
                    raise violation

        try:
            loop.run_until_complete(main())
        except BaseException as error:
            error.add_note(f"run again with {replay(seed, rounds)}, -k {loop_kind}")
            error.add_note("\n".join(map(str, world.rounds)))
            raise
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
