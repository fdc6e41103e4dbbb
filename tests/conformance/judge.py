"""Runs tests on both kinds of loop, in several processes at once, and judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from conformance import verdict
from conformance.exclusions import Exclusion
from conformance.supervisor import Outcome, Supervisor
from conformance.verdict import Difference, ModuleVerdict

PATIENCE = 5.0
"""Seconds that an excluded test may take: many only show that they hang."""
PORTION = 60
"""Tests of one module beyond which the next class goes into another process."""


AGAIN = 3
"""Times that a test which failed on Rondel must pass, alone, to count as unsteady."""


@dataclass(frozen=True)
class Judgement:
    """What the judge has found."""

    modules: list[ModuleVerdict]
    differences: list[Difference]
    """All that must not be; exclusions that are not needed among it."""


def judge(
    modules: list[str],
    exclusions: list[Exclusion],
    *,
    limit: float,
    jobs: int,
    path: tuple[Path, ...] = (),
    variables: Mapping[str, str] = MappingProxyType({}),
    wanted: Callable[[str], bool] | None = None,
    complete: bool = True,
    done: Callable[[ModuleVerdict], None] = lambda verdict: None,
) -> Judgement:
    """Run the tests of these modules, or those ``wanted``; hand each verdict to ``done``, in order.

    An exclusion without a test is an error only if these modules are all there are: ``complete``.
    Raises RuntimeError if the tests cannot even be listed.
    """
    exclusions = [exclusion for exclusion in exclusions if exclusion.applies()]
    supervisors = {
        "stdlib": Supervisor("stdlib", path, variables),
        "rondel": Supervisor("rondel", path, variables),
    }

    def excluded(test: str) -> bool:
        return any(exclusion.matches(test) for exclusion in exclusions)

    tests, instead = supervisors["stdlib"].find(modules)
    all_outcomes: dict[str, dict[str, Outcome]] = {kind: {} for kind in supervisors}
    verdicts = []
    with ThreadPoolExecutor(jobs) as pool, ExitStack() as interrupted:
        # Whoever interrupts does not want to wait for what has not begun.
        interrupted.callback(pool.shutdown, wait=False, cancel_futures=True)
        pending: dict[tuple[str, str], list[Future[dict[str, Outcome]]]] = {
            (module, kind): [
                pool.submit(supervisor.run, module, portion, min(limit, patience))
                # What is excluded may hang on Rondel, and is expected to pass on asyncio.
                for apart, patience in (
                    (False, limit),
                    (True, PATIENCE if kind == "rondel" else limit),
                )
                for portion in portions(
                    [test for test in filter(wanted, tests[module]) if excluded(test) is apart]
                )
            ]
            for module in modules
            for kind, supervisor in supervisors.items()
        }
        for module in modules:
            outcomes: dict[str, dict[str, Outcome]] = {}
            for kind in supervisors:
                outcomes[kind] = {module: instead[module]} if module in instead else {}
                for future in pending[module, kind]:
                    outcomes[kind] |= future.result()
            unsteady = run_again(module, outcomes, supervisors, limit, excluded)
            for kind in supervisors:
                all_outcomes[kind] |= outcomes[kind]
            compared = verdict.compare(module, outcomes["stdlib"], outcomes["rondel"], exclusions)
            compared.unsteady += unsteady
            if module in instead and instead[module].result == "failed":
                detail = instead[module].detail
                compared.differences.append(Difference(module, "cannot be imported", detail))
            verdicts.append(compared)
            done(compared)
    found = [difference for each in verdicts for difference in each.differences]
    found += verdict.stale(exclusions, *all_outcomes.values(), complete=complete)
    return Judgement(verdicts, found)


def run_again(
    module: str,
    outcomes: dict[str, dict[str, Outcome]],
    supervisors: dict[str, Supervisor],
    limit: float,
    excluded: Callable[[str], bool],
) -> list[Difference]:
    """Run failed tests again, alone, and put what came of it into ``outcomes``.

    Many tests depend on the machine: on a port that nobody takes meanwhile, on how much happens
    within a tenth of a second. So asyncio gets another chance to pass what Rondel does not, and
    Rondel to pass what asyncio does; it must do so every time, and the test is returned. Who hangs,
    crashes or skips gets none.
    """
    stdlib, rondel = outcomes["stdlib"], outcomes["rondel"]

    def passes(kind: str, test: str) -> bool:
        outcome = supervisors[kind].run(module, [test], limit).get(test, verdict.ABSENT)
        if outcome.result == "passed":
            outcomes[kind][test] = outcome
        return outcome.result == "passed"

    unsteady = []
    for test in stdlib:
        ours = rondel.get(test, verdict.ABSENT)
        if excluded(test) or ours.result == "passed":
            continue
        if stdlib[test].result == "failed":
            any(passes("stdlib", test) for _ in range(AGAIN))
        if stdlib[test].result == "passed" and ours.result == "failed":
            if all(passes("rondel", test) for _ in range(AGAIN)):
                what = f"failed on Rondel once, then passed {AGAIN} times"
                unsteady.append(Difference(test, what, ours.detail))
            else:
                rondel[test] = ours
    return unsteady


def portions(tests: list[str]) -> list[list[str]]:
    """Divide a module's tests into what one process runs; a class stays whole."""
    classes: dict[str, list[str]] = {}
    for test in tests:
        classes.setdefault(test.rpartition(".")[0], []).append(test)
    divided: list[list[str]] = []
    for members in classes.values():
        if not divided or len(divided[-1]) + len(members) > PORTION:
            divided.append([])
        divided[-1] += members
    return divided
