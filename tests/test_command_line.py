"""``python -m rondel PROGRAM`` runs a program with the surroundings that plain python gives it.

Nearly every test runs the same program under both, in real processes, and compares what came out:
standard output, standard error and exit code, byte for byte.
"""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
import zipapp
from pathlib import Path

import pytest
import rondel
from support.programs import RONDEL, TIMEOUT, Outcome, python, same, write

ASYNC_HELLO = """\
import asyncio

async def main():
    await asyncio.sleep(0)
    print("hello from", __name__)

if __name__ == "__main__":
    asyncio.run(main())
"""

# Prints all that a program can see of how it was started. Addresses differ from run to run.
SURROUNDINGS = """\
import re, sys, types
main = sys.modules["__main__"]
print("argv", sys.argv)
print("path", sys.path)
for name, value in sorted(vars(main).items()):
    print(name, re.sub("0x[0-9a-f]+", "0x", repr(value)))
print(main.__dict__ is globals(), type(main) is types.ModuleType, __name__)
print(sys.excepthook is sys.__excepthook__)
"""


# The program and its surroundings


def test_an_asyncio_program_prints_what_it_prints_under_plain_python(tmp_path: Path) -> None:
    write(tmp_path, ASYNC_HELLO)
    assert same(tmp_path, "program.py").stdout == "hello from __main__\n"


@pytest.mark.parametrize(
    "spelling", ["program.py", "./program.py", "../{name}/program.py", "{path}/program.py"]
)
def test_a_script_sees_the_same_argv_path_and_main_module(tmp_path: Path, spelling: str) -> None:
    write(tmp_path, SURROUNDINGS)
    script = spelling.format(name=tmp_path.name, path=tmp_path)
    outcome = same(tmp_path, script, "--debug", "-m", "--", "x")
    assert f"argv [{script!r}, '--debug', '-m', '--', 'x']" in outcome.stdout


def test_a_script_in_another_directory_finds_the_modules_beside_it(tmp_path: Path) -> None:
    write(tmp_path, "import beside; print(beside.value)\n" + SURROUNDINGS, "there/program.py")
    write(tmp_path, "value = 42\n", "there/beside.py")
    assert same(tmp_path, "there/program.py").stdout.startswith("42\n")


def test_a_link_to_a_script_finds_the_modules_beside_the_script_itself(tmp_path: Path) -> None:
    write(tmp_path, "import beside; print(beside.value)\n" + SURROUNDINGS, "there/program.py")
    write(tmp_path, "value = 42\n", "there/beside.py")
    (tmp_path / "link.py").symlink_to("there/program.py")
    assert same(tmp_path, "link.py").stdout.startswith("42\n")


@pytest.mark.parametrize("flags", [(), ("-P",), ("-I",), ("-O",), ("-X", "dev"), ("-W", "error")])
def test_flags_of_the_interpreter_mean_what_they_mean(
    tmp_path: Path, flags: tuple[str, ...]
) -> None:
    write(tmp_path, SURROUNDINGS + ASYNC_HELLO + "\nimport sys; print(sys.flags, __debug__)\n")
    # The last warning is the program's own: under -W error it ends both programs alike.
    write(tmp_path, "import warnings; warnings.warn('own')\n" + ASYNC_HELLO, "warns.py")
    same(tmp_path, "program.py", flags=flags)
    same(tmp_path, "warns.py", flags=flags)


def test_python_m_runs_a_module_as_main(tmp_path: Path) -> None:
    write(tmp_path, SURROUNDINGS, "package/module.py")
    write(tmp_path, "print('package', __name__)\n", "package/__init__.py")
    write(tmp_path, SURROUNDINGS, "package/__main__.py")
    same(tmp_path, "-m", "package.module", "a", "-c", "b")
    same(tmp_path, "-m", "package", "--info")
    same(tmp_path, "-mpackage")


def test_python_c_runs_text_as_main(tmp_path: Path) -> None:
    assert same(tmp_path, "-c", SURROUNDINGS, "a", "-b").stdout.startswith("argv ['-c', 'a', '-b']")
    same(tmp_path, f"-c{ASYNC_HELLO}")


def test_a_dash_runs_what_comes_on_stdin(tmp_path: Path) -> None:
    assert same(tmp_path, "-", "a", stdin=SURROUNDINGS).stdout.startswith("argv ['-', 'a']")
    same(tmp_path, "-", stdin="print(1)\n1/0\n")


@pytest.mark.parametrize("spelling", ["app", "./app", "app/", "{path}/app"])
def test_a_directory_with_a_main_file_is_a_program(tmp_path: Path, spelling: str) -> None:
    write(tmp_path, SURROUNDINGS + "import beside; print(beside.value)\n", "app/__main__.py")
    write(tmp_path, "value = 42\n", "app/beside.py")
    for flags in ((), ("-P",)):
        same(tmp_path, spelling.format(path=tmp_path), "a", flags=flags)


def test_a_zip_application_is_a_program(tmp_path: Path) -> None:
    write(tmp_path, SURROUNDINGS + ASYNC_HELLO + "1/0\n", "app/__main__.py")
    zipapp.create_archive(tmp_path / "app", tmp_path / "app.pyz")
    assert "ZeroDivisionError" in same(tmp_path, "app.pyz", "a").stderr


def test_a_compiled_file_is_a_program(tmp_path: Path) -> None:
    source = write(tmp_path, SURROUNDINGS)
    py_compile.compile(str(source), cfile=str(tmp_path / "compiled.pyc"), doraise=True)
    same(tmp_path, "compiled.pyc", "a")


def test_a_pipe_is_a_program(tmp_path: Path) -> None:
    shell = 'exec "$0" "$@" <(echo "print(__name__)")'
    done = subprocess.run(
        ["bash", "-c", shell, sys.executable, *RONDEL],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("__main__\n", "", 0)


def test_classes_of_the_program_survive_pickling(tmp_path: Path) -> None:
    text = """\
import pickle
class Point:
    pass
copy = pickle.loads(pickle.dumps(Point()))
print(type(copy) is Point, Point.__module__)
"""
    write(tmp_path, text)
    assert same(tmp_path, "program.py").stdout == "True __main__\n"


def test_exit_handlers_run_in_the_same_order(tmp_path: Path) -> None:
    text = """\
import atexit, sys
atexit.register(print, "first registered")
import asyncio, multiprocessing.util
class Last:
    def __del__(self):
        print("deleted", flush=True)
kept = Last()
multiprocessing.util.Finalize(None, print, ("multiprocessing",), exitpriority=1)
atexit.register(print, "last registered")
asyncio.run(asyncio.sleep(0))
print("end")
"""
    write(tmp_path, text)
    assert same(tmp_path, "program.py").stdout.startswith("end\nlast registered\n")


# What cannot be run


def one_line_and_exit_code_2(outcome: Outcome) -> str:
    assert outcome.returncode == 2
    assert outcome.stdout == ""
    assert outcome.stderr.count("\n") == 1
    assert outcome.stderr.endswith("\n")
    return outcome.stderr


def test_a_missing_program_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    assert "No such file" in one_line_and_exit_code_2(same(tmp_path, "missing.py"))
    assert "No such file" in one_line_and_exit_code_2(same(tmp_path, "/missing/program.py"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_program_without_read_permission_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    write(tmp_path, ASYNC_HELLO).chmod(0)
    assert "Permission denied" in one_line_and_exit_code_2(same(tmp_path, "program.py"))


@pytest.mark.parametrize(
    "program",
    [
        ("empty_directory",),
        ("-m", "no_such_module"),
        ("-m", "no_such_package.module"),
        ("-m", "empty_package"),
        ("-m", "program.py"),
    ],
    ids=" ".join,
)
def test_what_holds_no_program_is_one_line_in_pythons_words_and_exit_code_2(
    tmp_path: Path, program: tuple[str, ...]
) -> None:
    (tmp_path / "empty_directory").mkdir()
    write(tmp_path, "", "empty_package/__init__.py")
    outcome = python(*RONDEL, *program, cwd=tmp_path)
    one_line_and_exit_code_2(outcome)
    assert outcome.stderr == python(*program, cwd=tmp_path).stderr


def test_a_module_that_exits_with_a_message_is_not_taken_for_a_missing_one(tmp_path: Path) -> None:
    write(tmp_path, "raise SystemExit('No module named rondel')\n")
    assert same(tmp_path, "-m", "program").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "no program to run"),
        (("--debug",), "no program to run"),
        (("--",), "no program to run"),
        (("--bogus",), "unknown option --bogus"),
        (("--debug", "--bogus", "program.py"), "unknown option --bogus"),
        (("--debug=1", "program.py"), "unknown option --debug=1"),
        (("-X", "dev", "program.py"), "options of the interpreter go before -m rondel"),
        (("-m",), "argument expected for the -m option"),
        (("--debug", "-c"), "argument expected for the -c option"),
        (("--debug", "compare"), "--debug"),
    ],
)
def test_a_bad_option_is_one_line_and_exit_code_2(
    tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    outcome = python(*RONDEL, *arguments, cwd=tmp_path)
    assert says in one_line_and_exit_code_2(outcome)


def test_options_end_at_two_dashes(tmp_path: Path) -> None:
    write(tmp_path, "import sys; print(sys.argv)\n", "--info")
    outcome = python(*RONDEL, "--", "--info", "--debug", cwd=tmp_path)
    assert outcome == ("['--info', '--debug']\n", "", 0)


def test_a_program_named_compare_is_reached_by_a_path(tmp_path: Path) -> None:
    write(tmp_path, "import sys; print('program', sys.argv)\n", "compare")
    assert same(tmp_path, "./compare", "--help").stdout == "program ['./compare', '--help']\n"
    subcommand = python(*RONDEL, "compare", "--help", cwd=tmp_path)
    assert "usage: python -m rondel compare" in subcommand.stdout


# What it says about itself


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_names_every_option(tmp_path: Path, option: str) -> None:
    outcome = python(*RONDEL, option, "anything", cwd=tmp_path)
    assert (outcome.stderr, outcome.returncode) == ("", 0)
    for word in ("--debug", "--info", "--version", "--help", "-m MODULE", "-c CODE", "compare"):
        assert word in outcome.stdout


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version_is_the_version_of_the_package(tmp_path: Path, option: str) -> None:
    outcome = python(*RONDEL, option, cwd=tmp_path)
    assert outcome == (f"rondel {rondel.__version__}\n", "", 0)


def test_info_names_versions_driver_and_kernel(tmp_path: Path) -> None:
    outcome = python(*RONDEL, "--info", cwd=tmp_path)
    assert (outcome.stderr, outcome.returncode) == ("", 0)
    facts = dict(line.split(maxsplit=1) for line in outcome.stdout.splitlines())
    assert facts["rondel"].startswith(rondel.__version__)
    assert sys.version.split()[0] in facts["python"] + outcome.stdout
    assert facts["driver"] == rondel.driver_report()["driver"]
    assert os.uname().release in facts["kernel"]


def test_info_names_every_feature_and_the_reason_of_every_fallback(tmp_path: Path) -> None:
    stdout = python(*RONDEL, "--info", cwd=tmp_path).stdout
    report = rondel.driver_report()
    for kind in ("features", "fallbacks"):
        facts = report[kind]
        assert isinstance(facts, dict)
        for name, value in facts.items():
            assert name in stdout
            assert kind == "features" or str(value) in stdout


def test_info_with_a_program_goes_to_stderr_and_the_program_runs(tmp_path: Path) -> None:
    write(tmp_path, ASYNC_HELLO + "import sys; sys.exit(4)\n")
    outcome = python(*RONDEL, "--info", "program.py", cwd=tmp_path)
    assert (outcome.stdout, outcome.returncode) == ("hello from __main__\n", 4)
    assert outcome.stderr == python(*RONDEL, "--info", cwd=tmp_path).stdout
