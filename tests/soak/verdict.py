"""The judgement of a soak.

The first third of the samples is the warm-up, in which caches and pools fill up. After it

- memory must not grow: the median of the last third may exceed that of the second by what
  `ALLOWED` says, and no more;
- descriptors, threads, tasks and children must be the same in every sample as in the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from soak.samples import Sample

LEAST_SAMPLES = 9
"""Three for each third."""


class Allowance(NamedTuple):
    """By how much a median may grow: the larger of a share of it and an amount."""

    share: float
    amount: float

    def of(self, value: float) -> float:
        """Return the growth that is allowed from this value on."""
        return max(self.share * value, self.amount)


ALLOWED = {
    "native": Allowance(0.02, 256 * 1024),
    "blocks": Allowance(0.005, 500),
    "objects": Allowance(0.005, 200),
    "resident": Allowance(0.1, 4 * 1024 * 1024),
}
SAME = ("descriptors", "threads", "tasks", "children")


@dataclass(frozen=True)
class Check:
    """One thing that was judged."""

    name: str
    passed: bool
    why: str


def judge_series(samples: Sequence[Sample]) -> list[Check]:
    """Judge what the samples hold; fewer than `LEAST_SAMPLES` of them prove nothing."""
    if len(samples) < LEAST_SAMPLES:
        return [Check("samples", False, f"{len(samples)}; it takes {LEAST_SAMPLES} to judge")]
    third = len(samples) // 3
    second, last = samples[third : 2 * third], samples[2 * third :]
    checks = [_flat(name, second, last, ALLOWED[name]) for name in ALLOWED]
    return checks + [_same(name, samples) for name in SAME]


def _flat(
    name: str, second: Sequence[Sample], last: Sequence[Sample], allowance: Allowance
) -> Check:
    before, after = (median(getattr(sample, name) for sample in part) for part in (second, last))
    growth, allowed = after - before, allowance.of(before)
    return Check(
        name,
        growth <= allowed,
        f"median {before:,.0f} in the second third, {growth:+,.0f} in the last"
        f" ({allowed:,.0f} allowed)",
    )


def _same(name: str, samples: Sequence[Sample]) -> Check:
    baseline, *others = dict.fromkeys(round(getattr(sample, name)) for sample in samples)
    why = f"{baseline} in every rest" if not others else f"{baseline} at first, then also {others}"
    return Check(name, not others, why)


def judge_exchanges(done: dict[str, int], failed: dict[str, list[str]]) -> list[Check]:
    """Judge each kind of exchange: some were done, and none failed or was lost."""
    return [
        Check(
            name,
            count > 0 and not failed[name],
            f"{count:,} done, {len(failed[name])} failed or lost"
            + "".join(f"\n      {text}" for text in failed[name][:3]),
        )
        for name, count in done.items()
    ]


def judge_complaints(texts: Sequence[str]) -> Check:
    """Judge what was reported behind the exchanges' backs: nothing must be."""
    return Check(
        "complaints",
        not texts,
        f"{len(texts)} logged, reported or lost in finalizers"
        + "".join(f"\n      {text}" for text in texts[:5]),
    )
