"""The soak can fail: each of its checks, on made-up series and on a real run that leaks."""

from __future__ import annotations

import random
from typing import Any

import pytest
from soak import verdict
from soak.samples import Sample
from support.child import run_child
from support.growth import QUICK
from support.loops import RONDEL, kinds

FLAT = Sample(
    seconds=0,
    exchanges=1000,
    native=6_000_000,
    blocks=110_000,
    objects=27_000,
    resident=45_000_000,
    descriptors=18,
    threads=5,
    tasks=1,
    children=0,
    busy_descriptors=80,
)


def failed(samples: list[Sample]) -> list[str]:
    """The names of the checks that fail."""
    return [check.name for check in verdict.judge_series(samples) if not check.passed]


def changed(name: str, amounts: list[float]) -> list[Sample]:
    """Samples that differ from `FLAT` by these amounts in one respect."""
    return [FLAT._replace(**{name: getattr(FLAT, name) + amount}) for amount in amounts]


def test_what_does_not_change_is_flat() -> None:
    assert failed([FLAT] * 60) == []


def test_what_is_busy_between_the_rests_does_not_matter() -> None:
    assert failed(changed("busy_descriptors", list(range(60)))) == []


@pytest.mark.parametrize("name", verdict.ALLOWED)
def test_memory_may_go_up_and_down(name: str) -> None:
    allowed = verdict.ALLOWED[name].of(getattr(FLAT, name))
    noise = random.Random(name)
    amounts = [noise.uniform(-allowed, allowed) / 3 for _ in range(60)]
    assert failed(changed(name, amounts)) == []


@pytest.mark.parametrize("name", verdict.ALLOWED)
def test_memory_may_grow_while_warming_up(name: str) -> None:
    most = 5 * verdict.ALLOWED[name].of(getattr(FLAT, name))
    amounts = [most * min(rest, 19) / 19 for rest in range(60)]
    assert failed(changed(name, amounts)) == []


@pytest.mark.parametrize("name", verdict.ALLOWED)
def test_memory_that_grows_with_every_round_is_a_leak(name: str) -> None:
    allowed = verdict.ALLOWED[name].of(getattr(FLAT, name))
    # From the middle of one third to that of the next it is twenty rounds.
    assert failed(changed(name, [rest * 1.5 * allowed / 20 for rest in range(60)])) == [name]
    assert failed(changed(name, [rest * 0.9 * allowed / 20 for rest in range(60)])) == []


@pytest.mark.parametrize("name", verdict.ALLOWED)
def test_memory_that_grows_late_and_at_once_is_a_leak(name: str) -> None:
    allowed = verdict.ALLOWED[name].of(getattr(FLAT, name))
    assert failed(changed(name, [0] * 45 + [1.1 * allowed] * 15)) == [name]


@pytest.mark.parametrize("name", verdict.SAME)
@pytest.mark.parametrize("amount", [1, -1])
def test_a_single_thing_more_or_less_than_at_first_fails(name: str, amount: int) -> None:
    assert failed(changed(name, [0] * 59 + [amount])) == [name]
    assert failed(changed(name, [0] * 5 + [amount] + [0] * 54)) == [name]


def test_too_few_samples_prove_nothing() -> None:
    assert failed([FLAT] * (verdict.LEAST_SAMPLES - 1)) == ["samples"]
    assert failed([FLAT] * verdict.LEAST_SAMPLES) == []


def test_every_kind_of_exchange_must_be_done_and_never_fail() -> None:
    done = {"fine": 3, "broken": 2, "never": 0}
    failures: dict[str, list[str]] = {"fine": [], "broken": ["LookupError: gone"], "never": []}
    checks = verdict.judge_exchanges(done, failures)
    assert [(check.name, check.passed) for check in checks] == [
        ("fine", True),
        ("broken", False),
        ("never", False),
    ]
    assert "LookupError: gone" in checks[1].why


def test_complaints_are_failures() -> None:
    assert verdict.judge_complaints([]).passed
    assert not verdict.judge_complaints(["logged: something"]).passed


LEAKY = """
    import subprocess, threading, time
    from soak import __main__ as soak, local, network, rounds

    rounds.SETTLING = 0.5  # a leak need not be waited for
    kept = []

    async def leak(house):
        "A little of everything."
        kept.append((bytearray(20_000), [[] for _ in range(50)], os.dup(0)))
        kept.append(asyncio.create_task(asyncio.sleep(3600)))
        if len(kept) < 100:
            kept.append(subprocess.Popen(["sleep", "1000"]))
            kept.append(threading.Thread(target=time.sleep, args=(3600,), daemon=True))
            kept[-1].start()
        await asyncio.sleep(0.02)

    async def broken(house):
        await asyncio.sleep(0.02)
        raise LookupError("gone")

    async def careless(house):
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0.02)

    exchanges = [network.tcp, local.timers]
    if sys.argv[1] == "leak":
        exchanges += [leak, broken, careless]
    code = soak.main(["--minutes", "0.1", "--seed", "1"], exchanges)
    for process in kept:
        if isinstance(process, subprocess.Popen):
            process.kill()
            process.wait()
    sys.stdout.flush()
    os._exit(code)  # threads are left
"""


def run_soak(kind: str) -> tuple[int, dict[str, str], str]:
    """Run a short soak: its exit code, what became of each check, and its last line."""
    done: Any = run_child(RONDEL, LEAKY, kind, options=QUICK, timeout=100)
    assert done.stderr == ""
    checks = {
        words[1]: words[0]
        for line in done.stdout.splitlines()
        if (words := line.split()) and words[0] in ("passed", "FAILED")
    }
    return done.returncode, checks, done.stdout.splitlines()[-1]


@pytest.mark.skipif(RONDEL not in kinds(), reason="rondel is not built")
def test_a_run_that_leaks_fails() -> None:
    code, checks, closing = run_soak("leak")
    assert code == 1
    passed = {name for name, outcome in checks.items() if outcome == "passed"}
    assert passed - {"resident"} == {"tcp", "timers", "leak", "careless"}
    assert {*verdict.ALLOWED, *verdict.SAME, "broken", "complaints"} <= {*checks}
    assert f" {len(passed)} passed, {len(checks) - len(passed)} failed" in closing


@pytest.mark.skipif(RONDEL not in kinds(), reason="rondel is not built")
def test_a_short_run_keeps_its_descriptors() -> None:
    _, checks, closing = run_soak("nothing")
    assert all(checks[name] == "passed" for name in (*verdict.SAME, "tcp", "timers", "complaints"))
    assert closing.startswith("soak, Python 3.")
