"""Prints what the judge has found."""

from __future__ import annotations

import platform
from collections import Counter

from conformance.verdict import Difference, ModuleVerdict

NAME = 40
HEAD = (
    f"{'':{NAME}}  {'':>5}  {'asyncio':^22}  {'Rondel':^22}  {'of them':>9}\n"
    f"{'module':{NAME}}  {'tests':>5}  {'passed':>6} {'failed':>6} {'skipped':>8}  "
    f"{'passed':>6} {'failed':>6} {'skipped':>8}  {'on Rondel':>9}  {'excluded':>8}"
)
LONGEST_DETAIL = 25
"""Lines of each difference's traceback that are printed."""


def row(verdict: ModuleVerdict) -> str:
    """Return a module's line of the table."""
    name = verdict.module.removeprefix("test.")
    tests = verdict.stdlib.total() + verdict.excluded
    return (
        f"{name:{NAME}}  {tests:5}  {_outcomes(verdict.stdlib)}  {_outcomes(verdict.rondel)}  "
        f"{verdict.on_rondel:9}  {verdict.excluded:8}"
    )


def _outcomes(counts: Counter[str]) -> str:
    return f"{counts['passed']:6} {_failed(counts):6} {counts['skipped']:8}"


def _failed(counts: Counter[str]) -> int:
    return counts.total() - counts["passed"] - counts["skipped"]


def total(verdicts: list[ModuleVerdict]) -> ModuleVerdict:
    """Return the sum of all modules."""
    summed = ModuleVerdict("all")
    for verdict in verdicts:
        summed.stdlib += verdict.stdlib
        summed.rondel += verdict.rondel
        summed.excluded += verdict.excluded
        summed.on_rondel += verdict.on_rondel
        summed.differences += verdict.differences
        summed.unsteady += verdict.unsteady
        summed.notes += verdict.notes
    return summed


def differences(found: list[Difference]) -> str:
    """Return the list of differences, each with the end of its traceback."""
    lines = []
    for each in found:
        lines += ["", f"{each.test}: {each.what}"]
        lines += ["    " + line for line in each.detail.splitlines()[-LONGEST_DETAIL:]]
    return "\n".join(lines)


def closing_line(summed: ModuleVerdict, found: list[Difference], seconds: float) -> str:
    """Return the last line: tests on Rondel, where each difference counts as a failure."""
    return (
        f"conformance, Python {platform.python_version()}: {summed.rondel['passed']} passed, "
        f"{len(found)} failed, {summed.rondel['skipped']} skipped, "
        f"{summed.excluded} excluded in {seconds:.0f} s"
    )
