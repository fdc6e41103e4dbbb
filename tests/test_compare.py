"""``python -m rondel compare`` measures, tells the truth about what it could not, and cleans up."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rondel.compare import advice, document, measure, picture, table, text
from rondel.compare.contest import (
    CONTESTANTS,
    NAMES,
    NO_UNITS,
    POOLS,
    TOO_MANY_INTERPRETERS,
    UNITS,
    WORKS,
    Contestant,
    Results,
    empty,
)
from rondel.compare.progress import Progress
from support.marked import MARK, processes_marked
from support.programs import RONDEL, Outcome, python

TIMEOUT = 180
pytestmark = pytest.mark.timeout(190)


class QuickRun:
    """A run of ``compare --quick`` and all that it left."""

    def __init__(self, directory: Path) -> None:
        mark = uuid.uuid4().hex
        done = subprocess.run(
            [sys.executable, *RONDEL, "compare", "--quick", "--json", "r.json", "--svg", "r.svg"],
            cwd=directory,
            env={**os.environ, MARK: mark},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        self.survivors = processes_marked(mark)
        self.outcome = Outcome(done.stdout, done.stderr, done.returncode)
        self.document: dict[str, Any] = json.loads((directory / "r.json").read_text())
        self.svg = (directory / "r.svg").read_text()


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> QuickRun:
    return QuickRun(tmp_path_factory.mktemp("compare"))


def test_a_run_ends_well_and_leaves_no_process(quick: QuickRun) -> None:
    assert quick.outcome.returncode == 0
    assert quick.survivors == []


def test_progress_without_a_terminal_is_brief_lines(quick: QuickRun) -> None:
    lines = quick.outcome.stderr.splitlines()
    assert lines[0] == "round 1 of 1: I/O-bound work, 1 unit"
    assert len(lines) == len(set(lines)) == 8


def test_the_document_has_every_cell_with_samples_or_a_reason(quick: QuickRun) -> None:
    cells = {
        (cell["work"], cell["units"], cell["contestant"]): cell for cell in quick.document["cells"]
    }
    assert set(cells) == {
        (work.key, units, contestant)
        for work in WORKS
        for units in (1, 100)
        for contestant in CONTESTANTS
    }
    for cell in cells.values():
        if cell["samples"]:
            assert 0 < cell["minimum"] <= cell["median"] <= cell["maximum"]
            assert cell["minimum"] in cell["samples"]
        else:
            assert cell["median"] is cell["minimum"] is cell["maximum"] is None
            assert cell["reason"]


def test_nothing_but_the_memory_of_little_is_missing_in_a_quick_run(quick: QuickRun) -> None:
    missing = [
        cell
        for cell in quick.document["cells"]
        if not cell["samples"] and cell["reason"] not in (NO_UNITS, TOO_MANY_INTERPRETERS)
    ]
    assert {cell["work"] for cell in missing} <= {"memory"}
    assert not [cell for cell in missing if cell["contestant"] == "processes"]
    assert not [cell for cell in quick.document["cells"] if cell["samples"] and cell["reason"]]


def test_the_server_answers_after_its_delay_and_not_before(quick: QuickRun) -> None:
    delay = quick.document["environment"]["answer_delay"]
    for cell in quick.document["cells"]:
        if cell["work"] in ("io", "blocking") and cell["samples"]:
            assert cell["minimum"] >= delay


def test_the_document_describes_what_was_measured_where(quick: QuickRun) -> None:
    environment = quick.document["environment"]
    assert environment["rondel"]
    assert environment["driver"]
    assert environment["python"].endswith(sys.version.split()[0])
    assert environment["cpus"] >= 1
    assert environment["rounds"] == 1
    assert quick.document["units"] == [1, 100]
    assert [work["key"] for work in quick.document["works"]] == [work.key for work in WORKS]


def test_the_table_shows_every_work_contestant_and_the_advice(quick: QuickRun) -> None:
    for word in (*(work.title for work in WORKS), "Which one to use"):
        assert word in quick.outcome.stdout
    first, last, *_ = (line.split() for line in quick.outcome.stdout.splitlines()[2:])
    assert [word for name in NAMES.values() for word in name.split()[:-1]] == first
    assert ["units", *(name.split()[-1] for name in NAMES.values())] == last
    assert max(map(len, quick.outcome.stdout.splitlines()[2:])) <= 110
    for piece in quick.document["advice"]:
        assert f"{piece['title']}:" in quick.outcome.stdout


def test_the_picture_is_svg_with_a_bar_for_every_measured_cell(quick: QuickRun) -> None:
    root = ElementTree.fromstring(quick.svg)
    name = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{name}svg"
    for contestant in CONTESTANTS:
        measured = [
            cell
            for cell in quick.document["cells"]
            if cell["contestant"] == contestant and cell["samples"]
        ]
        legend = 1
        bars = [rect for rect in root.iter(f"{name}rect") if rect.get("class") == contestant]
        assert len(bars) == len(measured) + legend
        assert all(float(bar.get("height", "0")) > 0 for bar in bars)


def test_json_without_a_file_is_all_that_standard_output_gets(tmp_path: Path) -> None:
    outcome = python(*RONDEL, "compare", "--units", "1", "--rounds", "1", "--json", cwd=tmp_path)
    assert outcome.returncode == 0
    assert json.loads(outcome.stdout)["units"] == [1]


def test_ctrl_c_ends_a_run_with_one_line_and_leaves_no_process(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    with subprocess.Popen(
        [sys.executable, *RONDEL, "compare"],
        cwd=tmp_path,
        env={**os.environ, MARK: mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("round 1 of 3")
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert stdout == ""
    assert [line for line in stderr.splitlines() if not line.startswith("round")] == ["interrupted"]
    assert processes_marked(mark) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--bogus",),
        ("program.py",),
        ("--units", "many"),
        ("--units", "1,,2"),
        ("--units", "0"),
        ("--rounds", "-1"),
        ("--svg",),
        ("--svg", "missing/directory/picture.svg"),
        ("--json", "."),
    ],
    ids=" ".join,
)
def test_bad_options_are_one_line_and_exit_code_2(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    outcome = python(*RONDEL, "compare", *arguments, cwd=tmp_path)
    assert (outcome.stdout, outcome.returncode) == ("", 2)
    assert outcome.stderr.startswith("python -m rondel compare: ")
    assert outcome.stderr.count("\n") == 1


def test_help_names_every_option(tmp_path: Path) -> None:
    outcome = python(*RONDEL, "compare", "--help", cwd=tmp_path)
    assert (outcome.stderr, outcome.returncode) == ("", 0)
    for option in ("--json", "--svg", "--units", "--rounds", "--quick"):
        assert option in outcome.stdout


# What is told follows from the numbers


def results(
    sizes: list[int] | None = None, **medians: dict[Contestant, float | list[float] | None]
) -> Results:
    """Make results by hand: for each kind of work, what each contestant took at every size."""
    environment: dict[str, str | int | float] = {
        "rondel": "1",
        "driver": "d",
        "python": "p",
        "kernel": "k",
        "cpus": 2,
        "finished": "now",
    }
    made = Results(empty(sizes or [1, 100]), environment)
    for cell in made.cells:
        value = medians.get(cell.work.key, {}).get(cell.contestant)
        if cell.contestant not in cell.work.contestants:
            continue
        if value is None:
            cell.reason = f"{cell.contestant} not possible"
        else:
            cell.samples = value if isinstance(value, list) else [value] * 3
    return made


def told(about: str, made: Results) -> str:
    return dict(advice.derive(made)).get(about, "")


@pytest.mark.parametrize("best", CONTESTANTS)
def test_the_advice_is_whoever_was_quickest(best: Contestant) -> None:
    took: dict[Contestant, float | list[float] | None] = dict.fromkeys(CONTESTANTS, 2.0)
    took[best] = 1.0
    made = results(io=took, cpu=took)
    rivals = {"I/O-bound work": UNITS, "CPU-bound work": CONTESTANTS}
    for about, contestants in rivals.items():
        if best in contestants:
            assert told(about, made).startswith(f"{NAMES[best]}. 100 units took 1.00 s; ")
            assert told(about, made).count("2.0x") == len(contestants) - 1


def test_pools_are_not_asked_for_units_of_their_own() -> None:
    made = results(cpu=dict.fromkeys(CONTESTANTS, 1.0), io=dict.fromkeys(CONTESTANTS, 1.0))
    for cell in made.cells:
        if cell.contestant in POOLS and cell.work.measured_as in ("io", "unit"):
            assert (cell.samples, cell.reason) == ([], NO_UNITS)
        elif cell.work.key == "cpu":
            assert cell.samples
    assert "Rondel's" not in told("I/O-bound work", made)


def test_contestants_within_the_noise_are_called_level() -> None:
    made = results(io={"rondel": 1.0, "asyncio": 1.1, "threads": 2.0, "processes": 3.0})
    assert told("I/O-bound work", made).startswith("asyncio on Rondel or asyncio, which are level.")
    overlapping = results(io={"rondel": [1.0, 1.0, 2.0], "threads": [1.5, 1.5, 1.5]})
    assert told("I/O-bound work", overlapping).startswith("asyncio on Rondel or threads, which")


def test_few_samples_take_more_to_tell_contestants_apart() -> None:
    made = results(io={"rondel": [1.0], "threads": [1.4], "processes": [1.6]})
    assert told("I/O-bound work", made).startswith("asyncio on Rondel or threads, which are level.")


def test_the_advice_names_who_has_no_number() -> None:
    made = results(io={"rondel": 1.0, "asyncio": 2.0, "threads": 3.0})
    assert told("I/O-bound work", made).endswith("no number for processes.")


def test_the_advice_says_where_the_best_one_is_not_the_best() -> None:
    made = results(cpu={"rondel": 3.0, "asyncio": 3.0, "threads": 3.0, "processes": 2.0})
    for cell in made.cells:
        if cell.work.key == "cpu" and cell.units == 1 and cell.contestant != "processes":
            cell.samples = [0.5] * 3
    assert told("CPU-bound work", made).endswith(
        "Not for 1 unit: 2.00 s, asyncio on Rondel 500 ms."
    )


def test_there_is_no_advice_without_numbers_to_compare() -> None:
    assert advice.derive(results()) == []
    assert advice.derive(results(io={"rondel": 1.0})) == []


def test_a_cell_without_numbers_is_a_dash_with_a_footnote() -> None:
    made = results(io={"rondel": 1.0, "asyncio": 2.0, "threads": 3.0})
    shown = table.render(made)
    note = next(line for line in shown.splitlines() if line.endswith("processes not possible"))
    number = note.split()[0]
    row = next(line for line in shown.splitlines() if line.startswith("I/O-bound work "))
    assert row.split().count(number) == 1


def test_a_table_shows_median_and_range_in_one_unit() -> None:
    shown = table.render(results(io={"rondel": [0.0009, 0.0011, 0.0123]}))
    median, ends = shown.splitlines()[5:7]
    assert median.split()[:5] == ["I/O-bound", "work", "1", "1.10", "ms"]
    assert ends.split() == ["0.900-12.3"]
    assert len(ends) == median.index(" ms") + len(" ms")


@pytest.mark.parametrize("made", [results(), results([7], io={"rondel": 1e-9, "threads": 1e6})])
def test_tables_and_pictures_stand_missing_and_extreme_numbers(made: Results) -> None:
    assert table.render(made).endswith("\n")
    assert "nan" not in picture.render(made)
    ElementTree.fromstring(picture.render(made))
    assert json.loads(document.render(made))["cells"]


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.0, "s", "0 ns"),
        (1.234e-6, "s", "1.23 µs"),
        (0.9996e-3, "s", "1.00 ms"),
        (0.0123, "s", "12.3 ms"),
        (75.0, "s", "75.0 s"),
        (819.0, "bytes", "819 B"),
        (1024.0, "bytes", "1.00 KiB"),
        (1.5 * 2**20, "bytes", "1.50 MiB"),
    ],
)
def test_quantities_have_three_digits_and_a_fitting_unit(
    value: float, unit: Any, shown: str
) -> None:
    assert text.quantity(value, unit) == shown


def test_too_many_processes_are_not_tried_and_the_reason_is_reckoned_from_fewer() -> None:
    made = results([100, 10_000], cost={"processes": 0.002}, memory={"processes": 2.0**20})
    assert measure.why_not_so_many(made, 20_000) == (
        "not tried: 20,000 processes at once would take about 19.5 GiB and 40.0 s to start, "
        "by what 10,000 took"
    )
    assert measure.why_not_so_many(results(), 20_000).startswith("not tried")


def test_a_measurement_that_fails_is_a_reason_and_not_the_end() -> None:
    ports_that_nobody_listens_on = [1]
    outcome = measure.run_child(
        {
            "work": "io",
            "contestant": "threads",
            "units": 1,
            "ports": ports_that_nobody_listens_on,
        }
    )
    assert "refused" in outcome["reason"]
    assert "reason" in measure.run_child({"work": "unknown"})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_is_one_line_that_is_taken_away() -> None:
    terminal = Terminal()
    with Progress(4, terminal) as progress:
        progress.step("work", "threads")
        progress.skip(1)
        progress.step("work", "processes")
    shown = terminal.getvalue()
    assert "\n" not in shown
    assert shown.endswith("\r\x1b[K")
    assert "  0%  work: threads" in shown
    assert " 50%  work: processes" in shown
