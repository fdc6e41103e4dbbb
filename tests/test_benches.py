"""The benchmark measures what it says, believes nobody, and tells who failed. No time is judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from support.marked import MARK, processes_marked

from benches import document, goals, layouts, picture, spinning, table
from benches.contest import Results
from benches.contestants import CONTESTANTS, FOR_GOALS, RONDEL, STDLIB, UVLOOP, Contestant, parse
from benches.workload import Served
from benches.workloads import WORKLOADS

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 110
PROGRAMS = [ROOT / "target" / profile for profile in ("release", "debug")]


def benches(*arguments: str, programs: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the benchmark; fail if it leaves a process behind."""
    mark = uuid.uuid4().hex
    done = subprocess.run(
        [sys.executable, "-m", "benches", *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            MARK: mark,
            "PYTHONPATH": str(ROOT / "tests"),
            "RONDEL_BENCH_PROGRAMS": str(programs or ROOT / "nowhere"),
        },
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert processes_marked(mark) == []
    return done


class Run:
    """A tiny run with loops that work and loops that do not."""

    def __init__(self, folder: Path, *arguments: str, programs: Path | None = None) -> None:
        file = folder / "results.json"
        options = ("--quick", "--rounds", "2", "--json", str(file), "--docs", str(folder / "docs"))
        self.done = benches(*arguments, *options, programs=programs)
        assert self.done.returncode == 0, self.done.stderr
        self.text = file.read_text()
        self.document: dict[str, Any] = json.loads(self.text)
        self.docs = folder / "docs"

    def cell(self, workload: str, contestant: str) -> dict[str, Any]:
        """Return the cell of a workload's first number."""
        row = next(row for row in self.document["rows"] if row["workload"] == workload)
        found: dict[str, Any] = row["cells"][contestant]
        return found


@pytest.fixture(scope="module")
def scheduling(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(
        tmp_path_factory.mktemp("benches"),
        *("call-soon", "timers-fired", "threadsafe-ping-pong", "run-noop"),
        *("--contestants", "stdlib", "rondel"),
        "lossy=support.poor_loops:loses_timers",
        "dead=support.poor_loops:dies",
        "missing=no_such_module:loop",
    )


def test_every_good_contestant_has_a_positive_sample_a_round(scheduling: Run) -> None:
    assert [row["workload"] for row in scheduling.document["rows"]] == [
        "call-soon",
        "timers-fired",
        "threadsafe-ping-pong",
        "run-noop",
    ]
    for row in scheduling.document["rows"]:
        for name in ("stdlib", "rondel"):
            cell = row["cells"][name]
            assert len(cell["samples"]) == 2
            assert 0 < cell["minimum"] <= cell["median"] <= cell["maximum"]
            assert cell["reason"] is None


def test_ratios_are_those_of_the_medians(scheduling: Run) -> None:
    ours, theirs = (scheduling.cell("call-soon", name) for name in ("rondel", "stdlib"))
    assert ours["times"]["stdlib"] == pytest.approx(theirs["median"] / ours["median"])
    assert theirs["times"]["stdlib"] == 1
    assert ours["times"]["uvloop"] is None


def test_contestants_are_the_loops_that_their_factories_make(scheduling: Run) -> None:
    said = {contestant["name"]: contestant for contestant in scheduling.document["contestants"]}
    assert said["rondel"]["loop"] == "rondel.loop.Loop"
    assert said["stdlib"]["loop"] == "asyncio.unix_events._UnixSelectorEventLoop"


def test_who_does_not_do_the_work_has_a_reason_and_no_number(scheduling: Run) -> None:
    lossy = scheduling.cell("timers-fired", "lossy")
    assert lossy["median"] is None
    assert lossy["reason"] == "benches.workload.Wrong: not every timer fired once"
    assert scheduling.cell("call-soon", "lossy")["median"] is not None
    assert "[1] lossy: benches.workload.Wrong: not every timer fired once" in scheduling.done.stdout


def test_who_cannot_be_started_takes_no_part(scheduling: Run) -> None:
    said = {contestant["name"]: contestant for contestant in scheduling.document["contestants"]}
    assert said["missing"]["reason"] == "not installed"
    assert said["dead"]["reason"] == "exit code 7"
    assert scheduling.cell("call-soon", "missing")["reason"] == "not installed"
    assert "missing took no part: not installed" in scheduling.done.stdout


def test_the_document_is_read_back_as_it_was(scheduling: Run) -> None:
    results = document.parse(scheduling.text)
    assert document.render(results) == scheduling.text
    assert table.render(results) == scheduling.done.stdout


def test_pictures_and_page_show_every_row(scheduling: Run) -> None:
    page = (scheduling.docs / "results.md").read_text()
    for row in scheduling.document["rows"]:
        picture = (scheduling.docs / f"{row['group']}.svg").read_text()
        ElementTree.fromstring(picture)
        assert row["title"] in picture
        assert row["title"] in page
        assert f"{row['group']}.svg" in page


@pytest.fixture(scope="module")
def programs() -> Path:
    for folder in PROGRAMS:
        if (folder / "rondel-load").exists():
            return folder
    pytest.skip("the load generator is not built: cargo build --package rondel-load")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, programs: Path) -> Run:
    return Run(
        tmp_path_factory.mktemp("benches"),
        *("echo-64b-1", "unix", "tls-1kib", "latency"),
        *("--layout", "together", "--contestants", "stdlib", "rondel", "epoll"),
        "serverless=support.poor_loops:has_no_servers",
        "liar=support.poor_loops:changes_bytes",
        programs=programs,
    )


def test_servers_are_measured_under_load(served: Run) -> None:
    for row in served.document["rows"]:
        for name in ("stdlib", "rondel"):
            assert len(row["cells"][name]["samples"]) == 2, row["cells"][name]["reason"]
            assert row["cells"][name]["minimum"] > 0


def test_limits_do_what_they_can_without_python(served: Run) -> None:
    assert len(served.cell("echo-64b-1", "epoll")["samples"]) == 2
    assert len(served.cell("unix", "epoll")["samples"]) == 2
    rows = {row["workload"]: row["cells"] for row in served.document["rows"]}
    assert "epoll" not in rows["tls-1kib"]


def test_latencies_are_in_order(served: Run) -> None:
    rows = {
        row["metric"]: row["cells"] for row in served.document["rows"] if row["group"] == "latency"
    }
    for name in ("stdlib", "rondel"):
        for number in range(2):
            percentiles = [rows[key][name]["samples"][number] for key in ("p50", "p99", "p99.9")]
            assert percentiles == sorted(percentiles)


def test_a_server_that_cannot_serve_or_changes_bytes_has_no_number(served: Run) -> None:
    assert served.cell("echo-64b-1", "serverless")["reason"] == (
        "the server did not get ready; NotImplementedError"
    )
    assert "what came back is not what was sent" in served.cell("echo-64b-1", "liar")["reason"]
    assert served.cell("echo-64b-1", "liar")["median"] is None


def test_without_a_load_generator_loops_are_still_measured(tmp_path: Path) -> None:
    run = Run(tmp_path, "sleep0-1", "echo-64b-1", "--layout", "together", "--contestants", "stdlib")
    assert "rondel-load is not there" in run.cell("echo-64b-1", "stdlib")["reason"]
    assert run.cell("sleep0-1", "stdlib")["median"] is not None


def test_wrong_options_are_told_and_nothing_is_measured() -> None:
    for wrong in (["no-such-workload"], ["--contestants", "nobody"], ["--rounds", "0"]):
        done = benches(*wrong)
        assert done.returncode == 2
        assert "python -m benches: " in done.stderr
        assert done.stdout == ""


def test_workloads_have_names_of_their_own_and_are_listed() -> None:
    names = [workload.name for workload in WORKLOADS]
    assert len(set(names)) == len(names)
    listed = benches("--list").stdout
    assert [line.split()[1] for line in listed.splitlines()] == names


def test_each_goal_names_workloads_and_contestants_that_exist() -> None:
    names = {contestant.name for contestant in CONTESTANTS} | {goals.PEERS, ""}
    for goal in goals.GOALS:
        assert goal.against in names
        assert goal.contestant in names
        for pattern in goal.workloads:
            assert any(Contestant("", only=(pattern,)).does(load.name) for load in WORKLOADS)


def test_a_run_for_the_goals_has_both_sides_of_each() -> None:
    known = {contestant.name: contestant for contestant in FOR_GOALS}
    loops = [contestant.name for contestant in CONTESTANTS if contestant.factory]
    for goal in goals.GOALS:
        others = [name for name in loops if goal.against == goals.PEERS] or [goal.against]
        for name in filter(None, (goal.contestant, *others)):
            for pattern in goal.workloads:
                for load in WORKLOADS:
                    wanted = Contestant("", only=(pattern,)).does(load.name)
                    full = next(them for them in CONTESTANTS if them.name == name)
                    assert not (wanted and full.does(load.name)) or known[name].does(load.name)


def test_who_spins_is_rondel_and_does_so() -> None:
    pytest.importorskip("rondel._rondel")
    loop = spinning.new_event_loop()
    assert loop.spin > 0
    loop.close()


def results(*medians: tuple[str, Contestant, float], layout: str = "alone") -> Results:
    """Results of one round, in which nobody else took part."""
    on = layouts.alone()._replace(name=layout)
    workloads = {workload.name: workload for workload in WORKLOADS}
    names = dict.fromkeys(name for name, _, _ in medians)
    contestants = dict.fromkeys(contestant for _, contestant, _ in medians)
    made = Results([(workloads[name], on) for name in names], list(contestants))
    for name, contestant, median in medians:
        cell, *_ = made.of(workloads[name], on, contestant)
        cell.samples.append(median)
    made.environment.update(python="", kernel="", machine="", cpus=1, rounds=1, finished="")
    return made


def test_of_rates_more_is_better_and_of_times_less() -> None:
    made = results(
        ("uvicorn", UVLOOP, 1000.0),
        ("uvicorn", RONDEL, 2500.0),
        ("call-soon", UVLOOP, 1e-6),
        ("call-soon", RONDEL, 4e-6),
    )
    time, rate, _ = made.rows
    assert made.ratio(rate, "rondel", "uvloop") == 2.5
    assert made.ratio(time, "rondel", "uvloop") == 0.25
    assert made.ratio(time, "rondel", "stdlib") is None


def test_goals_are_judged_by_the_ratios() -> None:
    made = results(
        ("uvicorn", UVLOOP, 1000.0),
        ("uvicorn", RONDEL, 2500.0),
        ("call-soon", UVLOOP, 5e-6),
        ("call-soon", RONDEL, 1e-6),
        ("idle-connections", RONDEL, 29e6),
    )
    judged = {outcome.row.workload.name: outcome for outcome in goals.outcomes(made)}
    assert judged["uvicorn"].reached is True
    assert judged["uvicorn"].value == "2.50x"
    assert judged["call-soon"].reached is False
    assert judged["call-soon"].goal == "6.00x uvloop"
    assert judged["idle-connections"].reached is True


def test_a_goal_may_be_a_gain_over_one_process() -> None:
    (gained,) = goals.outcomes(results(("count-lines", RONDEL, 1.9), layout="apart"))
    assert (gained.goal, gained.value, gained.reached) == ("1.80x one process", "1.90x", True)
    (missed,) = goals.outcomes(results(("count-lines", RONDEL, 1.7), layout="apart"))
    assert missed.reached is False


def test_being_slower_than_the_standard_library_is_always_told() -> None:
    made = results(("udp", STDLIB, 1000.0), ("udp", RONDEL, 900.0))
    (outcome,) = goals.outcomes(made)
    assert (outcome.goal, outcome.value, outcome.reached) == ("0.97x stdlib", "0.90x", False)


def test_one_failed_round_voids_the_others() -> None:
    made = results(("udp", STDLIB, 1000.0), ("udp", RONDEL, 1000.0))
    row, _ = made.rows
    made.cells[row, "rondel"].reason = "broken"
    assert made.ratio(row, "rondel", "stdlib") is None
    assert "— [1]" in table.render(made)
    assert "broken" in picture.render_all(made)["sockets"]


def test_contestants_are_known_ones_or_any_factory_of_any_interpreter() -> None:
    assert parse("uvloop") == UVLOOP
    assert parse("mine=module.sub:make") == Contestant("mine", "module.sub:make", sys.executable)
    assert parse("old=m:f@/usr/bin/python3").interpreter == "/usr/bin/python3"
    for wrong in ("", "unknown", "name=", "name=module", "=a:b"):
        with pytest.raises(ValueError, match="none of"):
            parse(wrong)


def test_limits_take_part_where_loops_serve() -> None:
    limits = [contestant for contestant in CONTESTANTS if contestant.server]
    for workload in WORKLOADS:
        for limit in limits:
            assert not limit.does(workload.name) or isinstance(workload, Served)
