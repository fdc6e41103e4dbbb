"""Compares how tests ended on the standard library's loop and on Rondel's."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from conformance.exclusions import Exclusion
from conformance.supervisor import Outcome

ABSENT = Outcome("not run", "it has not been run")


@dataclass(frozen=True)
class Difference:
    """A test that Rondel ought to pass, and does not, or not always."""

    test: str
    what: str
    detail: str = ""


@dataclass
class ModuleVerdict:
    """What came of one module's tests."""

    module: str
    stdlib: Counter[str] = field(default_factory=Counter)
    """How many tests ended in which way; those excluded are counted apart."""
    rondel: Counter[str] = field(default_factory=Counter)
    excluded: int = 0
    on_rondel: int = 0
    """How many tests have made a loop of Rondel's; others make none, or doubles of their own."""
    differences: list[Difference] = field(default_factory=list)
    unsteady: list[Difference] = field(default_factory=list)
    """Tests that Rondel has passed when they were run again."""
    notes: list[str] = field(default_factory=list)
    """Tests that the standard library does not pass itself here."""


def compare(
    module: str,
    stdlib: dict[str, Outcome],
    rondel: dict[str, Outcome],
    exclusions: list[Exclusion],
) -> ModuleVerdict:
    """Compare the outcomes of a module's tests."""
    verdict = ModuleVerdict(module)
    for test in dict.fromkeys([*stdlib, *rondel]):
        theirs, ours = stdlib.get(test, ABSENT), rondel.get(test, ABSENT)
        if test not in stdlib:
            # The end of a process, or the tear-down of a class, that only failed here.
            verdict.differences.append(Difference(test, f"only here: {ours.result}", ours.detail))
            continue
        if any(exclusion.matches(test) for exclusion in exclusions):
            verdict.excluded += 1
            continue
        verdict.stdlib[theirs.result] += 1
        verdict.rondel[ours.result] += 1
        verdict.on_rondel += "rondel" in ours.loops
        if (what := difference(theirs, ours)) is not None:
            verdict.differences.append(Difference(test, what, ours.detail))
        elif theirs.result not in {"passed", "skipped"}:
            verdict.notes.append(f"{test}: {theirs.result} by asyncio, {ours.result} by Rondel")
    return verdict


def difference(stdlib: Outcome, rondel: Outcome) -> str | None:
    """Return what is wrong with how a test ended on Rondel, if anything is."""
    if "stdlib" in rondel.loops:
        return "ran on asyncio's own loop"
    if stdlib.result != "passed":
        return None
    if rondel.result != "passed":
        return f"passed by asyncio, {rondel.result} by Rondel"
    if "stdlib" in stdlib.loops and "rondel" not in rondel.loops:
        return "ran on no loop of Rondel's"
    return None


def stale(
    exclusions: list[Exclusion],
    stdlib: dict[str, Outcome],
    rondel: dict[str, Outcome],
    *,
    complete: bool = True,
) -> list[Difference]:
    """Return the exclusions that are not needed: Rondel does as well, or there is no such test.

    The latter cannot be told if only some of the tests were run, if they are not ``complete``.
    """
    found = []
    for exclusion in exclusions:
        tests = [test for test in stdlib if exclusion.matches(test)]
        if complete and not tests:
            found.append(Difference(exclusion.test, "excluded, but there is no such test"))
        found += [
            Difference(test, "excluded, but Rondel does as well as asyncio")
            for test in tests
            if difference(stdlib[test], rondel.get(test, ABSENT)) is None
        ]
    return found
