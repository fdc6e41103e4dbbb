"""The judge of conformance: nothing that goes wrong on Rondel only escapes it.

It judges one made-up suite, whose tests know on which loop they run.
"""

from __future__ import annotations

import functools
import re
import sys
from pathlib import Path

import pytest
from conformance import __main__ as command
from conformance import exclusions, suites
from conformance.exclusions import Exclusion
from conformance.judge import Judgement, judge, portions
from conformance.verdict import Difference

ROOT = Path(__file__).resolve().parents[1]

SUITE = """
import asyncio, atexit, os, subprocess, sys, threading, time, unittest

ON_RONDEL = hasattr(asyncio.SelectorEventLoop, "driver")
KIND = "type(asyncio.new_event_loop()).__mro__[1].__module__"


class WithLoop(unittest.TestCase):
    def setUp(self):
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)


class Same(WithLoop):
    def test_passes(self):
        self.loop.run_until_complete(asyncio.sleep(0))

    def test_fails(self):
        self.fail("on both")

    @unittest.skip("on both")
    def test_is_skipped(self):
        pass

    @unittest.expectedFailure
    def test_is_expected_to_fail(self):
        self.fail("on both")

    def test_with_parts(self):
        for part in range(3):
            with self.subTest(part=part):
                pass


class Different(WithLoop):
    def test_fails(self):
        self.assertFalse(ON_RONDEL, "on Rondel only")

    def test_fails_in_a_part(self):
        for part in range(3):
            with self.subTest(part=part):
                self.assertFalse(ON_RONDEL and part == 1)

    def test_fails_in_a_cleanup(self):
        self.addCleanup(self.assertFalse, ON_RONDEL)

    def test_is_skipped(self):
        if ON_RONDEL:
            self.skipTest("on Rondel only")

    @unittest.expectedFailure
    def test_succeeds_unexpectedly(self):
        self.assertTrue(ON_RONDEL)


class Unsteady(WithLoop):
    def test_fails_once_on_rondel(self):
        self.assertFalse(ON_RONDEL and self.time() == 1)

    def test_fails_once_on_asyncio_and_always_on_rondel(self):
        self.assertFalse(ON_RONDEL or self.time() == 1)

    def test_fails_every_other_time_on_rondel(self):
        self.assertFalse(ON_RONDEL and self.time() % 2)

    def time(self):
        with open(os.environ["LEFT"] + self.id(), "a+") as times:
            times.write(".")
            return times.tell()


class Hanging(WithLoop):
    def test_1_hangs(self):
        if ON_RONDEL:
            self.never_comes_back()

    def never_comes_back(self):
        threading.Event().wait()

    def test_2_behind_it(self):
        pass


class Crashing(WithLoop):
    def test_1_aborts(self):
        if ON_RONDEL:
            os.abort()

    def test_2_exits(self):
        if ON_RONDEL:
            os._exit(0)

    def test_3_behind_them(self):
        pass


class Leaving(WithLoop):
    def test_leaves_a_process(self):
        child = subprocess.Popen(["sleep", "1000"])
        with open(os.environ["LEFT"], "a") as left:
            left.write(f"{child.pid}\\n")
        child.returncode = 0


class SetUp(WithLoop):
    @classmethod
    def setUpClass(cls):
        if ON_RONDEL:
            raise OSError("on Rondel only")

    def test_of_the_class(self):
        pass


class TearDown(WithLoop):
    @classmethod
    def tearDownClass(cls):
        if ON_RONDEL:
            raise OSError("on Rondel only")

    def test_of_the_class(self):
        pass


class Loops(unittest.TestCase):
    def test_escapes(self):
        mro = asyncio.SelectorEventLoop.__mro__
        original = next(c for c in mro if c.__name__ == "_UnixSelectorEventLoop")
        original().close()

    def test_makes_none_on_rondel(self):
        if not ON_RONDEL:
            asyncio.new_event_loop().close()

    def test_of_policy_runner_and_old_names(self):
        import asyncio.unix_events as unix
        loops = [
            asyncio.get_event_loop_policy().new_event_loop(),
            asyncio.SelectorEventLoop(),
            unix.SelectorEventLoop(),
            unix._UnixSelectorEventLoop(),
            getattr(asyncio, "EventLoop", asyncio.SelectorEventLoop)(),
            asyncio.run(self.running()),
        ]
        for loop in loops:
            loop.close()
            self.assertEqual(hasattr(loop, "driver"), ON_RONDEL)

    async def running(self):
        return asyncio.get_running_loop()

    def test_of_children(self):
        program = f"import asyncio; print({KIND})"
        for options in (["-I"], ["-E"], []):
            made = subprocess.check_output([sys.executable, *options, "-c", program], text=True)
            self.assertEqual(made.strip(), eval(KIND))
        self.assertTrue(ON_RONDEL or "rondel" not in made)


class TheEnd(WithLoop):
    def test_registers_a_crash_for_the_end(self):
        if ON_RONDEL:
            atexit.register(os.abort)
"""
SKIPPED = 'import unittest; raise unittest.SkipTest("not on this system")'
BROKEN = "import no_such_module"

LIMIT = 6.0
"""Seconds; far more than any of these tests takes but the one that hangs."""
EXCLUSIONS = [
    Exclusion("made_up.Different.test_fails_in_a_cleanup", "it is not needed: it fails"),
    Exclusion("made_up.Same.test_p*", "stale: it passes"),
    Exclusion("made_up.NoSuchClass.test", "stale: there is none"),
    Exclusion("made_up.NoSuchClass.test_of_old", "for another Python", ("2.7",)),
    Exclusion("made_up.Different.test_is_skipped", "for another Python", ("2.7",)),
]


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the numbers of processes that the suite has started and not ended."""
    return tmp_path_factory.mktemp("left") / "processes"


@pytest.fixture(scope="module")
def judgement(tmp_path_factory: pytest.TempPathFactory, left: Path) -> Judgement:
    folder = tmp_path_factory.mktemp("suites")
    (folder / "made_up.py").write_text(SUITE)
    (folder / "skipped.py").write_text(SKIPPED)
    (folder / "broken.py").write_text(BROKEN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEFT", str(left))
        return judge(
            ["made_up", "skipped", "broken"], EXCLUSIONS, limit=LIMIT, jobs=2, path=(folder,)
        )


@pytest.fixture(scope="module")
def differences(judgement: Judgement) -> dict[str, Difference]:
    """What the judge has found, by the test's name."""
    return {each.test.removeprefix("made_up."): each for each in judgement.differences}


PASSED_BY_ASYNCIO = {
    "Different.test_fails": ("failed", "on Rondel only"),
    "Different.test_fails_in_a_part": ("failed", "self.assertFalse(ON_RONDEL and part == 1)"),
    "Different.test_is_skipped": ("skipped", "on Rondel only"),
    "Different.test_succeeds_unexpectedly": ("failed", "unexpected success"),
    "Hanging.test_1_hangs": ("hung", "in never_comes_back"),
    "Crashing.test_1_aborts": ("crashed", "SIGABRT"),
    "Crashing.test_2_exits": ("crashed", "the test ended its process"),
    "SetUp.test_of_the_class": ("failed", "on Rondel only"),
    "Unsteady.test_fails_once_on_asyncio_and_always_on_rondel": ("failed", "assertFalse"),
    "Unsteady.test_fails_every_other_time_on_rondel": ("failed", "assertFalse"),
}
OTHER = {
    "tearDownClass (made_up.TearDown)": ("only here: failed", "on Rondel only"),
    "end of made_up": ("only here: crashed", "SIGABRT"),
    "Loops.test_escapes": ("ran on asyncio's own loop", ""),
    "Loops.test_makes_none_on_rondel": ("ran on no loop of Rondel's", ""),
    "Same.test_passes": ("excluded, but Rondel does as well as asyncio", ""),
    "NoSuchClass.test": ("excluded, but there is no such test", ""),
    "broken": ("cannot be imported", "No module named 'no_such_module'"),
}
EXPECTED = OTHER | {
    test: (f"passed by asyncio, {result} by Rondel", detail)
    for test, (result, detail) in PASSED_BY_ASYNCIO.items()
}


@pytest.mark.parametrize("test", EXPECTED)
def test_a_difference_is_found_with_its_kind_and_cause(
    differences: dict[str, Difference], test: str
) -> None:
    what, detail = EXPECTED[test]
    assert differences[test].what == what
    assert detail in differences[test].detail


def test_nothing_else_is_a_difference(differences: dict[str, Difference]) -> None:
    assert set(differences) == set(EXPECTED)


def test_counts_of_the_table(judgement: Judgement) -> None:
    made_up, skipped, broken = judgement.modules
    assert made_up.excluded == 2
    assert made_up.stdlib == {"passed": 22, "failed": 1, "skipped": 1}
    assert made_up.rondel == {"passed": 12, "failed": 7, "skipped": 2, "hung": 1, "crashed": 2}
    assert skipped.stdlib == skipped.rondel == {"skipped": 1}
    assert not skipped.differences
    assert broken.stdlib == {"failed": 1}


def test_what_asyncio_does_not_pass_either_is_noted(judgement: Judgement) -> None:
    assert judgement.modules[0].notes == [
        "made_up.Same.test_fails: failed by asyncio, failed by Rondel"
    ]


def test_what_passes_again_and_again_is_unsteady(judgement: Judgement) -> None:
    (unsteady,) = judgement.modules[0].unsteady
    assert unsteady.test == "made_up.Unsteady.test_fails_once_on_rondel"
    assert unsteady.what == "failed on Rondel once, then passed 3 times"
    assert "self.time() == 1" in unsteady.detail


def test_no_process_of_a_test_is_left(judgement: Judgement, left: Path) -> None:
    processes = [int(line) for line in left.read_text().split()]
    assert len(processes) == 2  # one on each loop
    assert not any(map(is_running, processes))


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0]
    except FileNotFoundError:
        return False
    return state != "Z"  # whoever inherits the dead may be slow to bury them


def test_only_some_tests_do_not_tell_whether_an_excluded_one_exists(tmp_path: Path) -> None:
    (tmp_path / "made_up.py").write_text(SUITE)
    judgement = judge(
        ["made_up"],
        EXCLUSIONS,
        limit=LIMIT,
        jobs=1,
        path=(tmp_path,),
        wanted=lambda test: test.endswith("Same.test_with_parts"),
        complete=False,
    )
    assert not judgement.differences
    assert judgement.modules[0].rondel == {"passed": 1}


def test_a_class_stays_in_one_process() -> None:
    tests = [f"module.{name}.test_{n}" for name in "ABC" for n in range(40)]
    assert portions(tests) == [tests[:40], tests[40:80], tests[80:]]


@pytest.mark.parametrize(
    ("body", "code", "closing"),
    [
        ("", 0, r"conformance, Python [\d.]+: 1 passed, 0 failed, 0 skipped, 0 excluded in \d+ s"),
        (
            "self.assertFalse(hasattr(loop, 'driver'))",
            1,
            r"conformance, Python [\d.]+: 0 passed, 1 failed, 0 skipped, 0 excluded in \d+ s",
        ),
        (
            "self.skipTest('on both')",
            1,
            r"conformance, Python [\d.]+: 0 passed, 0 failed, 1 skipped, 0 excluded in \d+ s",
        ),
    ],
)
def test_the_command_says_so_and_exits_with_1_unless_all_is_well(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    body: str,
    code: int,
    closing: str,
) -> None:
    monkeypatch.setattr(exclusions, "read", list)
    monkeypatch.setattr(sys, "argv", ["conformance"])
    module = tmp_path / "test_made_up.py"
    module.write_text(
        "import asyncio, contextlib, unittest\n"
        "class Test(unittest.TestCase):\n"
        "    def test(self):\n"
        "        with contextlib.closing(asyncio.new_event_loop()) as loop:\n"
        f"            {body or 'pass'}\n"
    )
    monkeypatch.setattr(suites, "modules", lambda: ["test_made_up"])
    monkeypatch.setattr(command, "judge", functools.partial(judge, path=(tmp_path,)))
    assert command.main() == code
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(closing, last)


def test_an_exclusion_needs_a_reason(tmp_path: Path) -> None:
    table = tmp_path / "exclusions.toml"
    table.write_text('[[exclude]]\ntest = "a.test"\nreason = " "\n')
    with pytest.raises(ValueError, match=r"excluded without a reason: a\.test"):
        exclusions.read(table)
    table.write_text('[[exclude]]\ntest = "a.test"\n')
    with pytest.raises(TypeError):
        exclusions.read(table)


def test_the_documentation_has_the_table_of_exclusions() -> None:
    document = (ROOT / "docs" / "conformance.md").read_text()
    assert exclusions.as_markdown(exclusions.read()) in document
