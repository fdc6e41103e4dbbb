"""Whole programs that use `rondel.ProcessPoolExecutor`: what is in `__main__`, and forks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.child import environment


def run_program(tmp_path: Path, text: str, *command: str, stdin: bool = False) -> str:
    program = tmp_path / "program.py"
    program.write_text(text)
    arguments = [sys.executable, *command, "-" if stdin else str(program)]
    ran = subprocess.run(
        arguments,
        input=text if stdin else None,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout + ran.stderr


PROGRAM = """
import asyncio, os, rondel

def double(n):
    return 2 * n

async def main():
    loop = asyncio.get_running_loop()
    pool = rondel.ProcessPoolExecutor(2)
    try:
        print(await loop.run_in_executor(pool, double, 21))
    except AttributeError as error:
        print(*error.__notes__)

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.parametrize("command", [(), ("-m", "rondel")])
def test_functions_of_a_program_run_and_it_ends(tmp_path: Path, command: tuple[str, ...]) -> None:
    assert run_program(tmp_path, PROGRAM, *command) == "42\n"


FAILING = """
import rondel

def fail():
    raise LookupError("in the program")

if __name__ == "__main__":
    with rondel.ProcessPoolExecutor(1) as pool:
        error = pool.submit(fail).exception()
        print(repr(error), 'raise LookupError("in the program")' in str(error.__cause__))
"""


def test_errors_of_a_program_arrive_where_warnings_are_errors(tmp_path: Path) -> None:
    said = run_program(tmp_path, FAILING, "-X", "dev", "-W", "error")
    assert said == "LookupError('in the program') True\n"


UNFIT = """
import rondel
from concurrent.futures.process import BrokenProcessPool

def fail():
    raise LookupError("in the program")

if __name__ == "__main__":
    with rondel.ProcessPoolExecutor(1, initializer=fail) as pool:
        error = pool.submit(print).exception()
        print(type(error) is BrokenProcessPool, repr(error.__cause__))
"""


def test_a_programs_initializer_that_fails_breaks_the_pool_where_warnings_are_errors(
    tmp_path: Path,
) -> None:
    said = run_program(tmp_path, UNFIT, "-X", "dev", "-W", "error")
    assert said.startswith("True LookupError('in the program')\nException in initializer:\n")
    assert said.endswith("LookupError: in the program\n")
    assert said.count("Traceback") == 1


def test_functions_that_workers_cannot_import_are_explained(tmp_path: Path) -> None:
    assert "put it into a module" in run_program(tmp_path, PROGRAM, stdin=True)


def test_a_forked_child_begins_anew(tmp_path: Path) -> None:
    text = """
import os, sys, rondel, time

def double(n):
    return 2 * n

if __name__ == "__main__":
    import warnings
    warnings.simplefilter("ignore")
    pool = rondel.ProcessPoolExecutor(1)
    print(pool.submit(double, 1).result(), flush=True)
    pid = os.fork()
    if pid == 0:
        print(pool.submit(double, 2).result(), flush=True)
        pool.shutdown()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    print(pool.submit(double, 3).result(), flush=True)
"""
    assert run_program(tmp_path, text) == "2\n4\n6\n"


CONTEXTS = """
import multiprocessing, os, rondel

if __name__ == "__main__":
    import warnings
    warnings.simplefilter("ignore")
    context = multiprocessing.get_context(os.environ["METHOD"])
    with rondel.ProcessPoolExecutor(1, context) as pool:
        print(pool.submit(abs, -1).result())
        try:
            pool.submit(os._exit, 1).result()
        except rondel.WorkerDied as error:
            print(error.exitcode)
        print(pool.submit(len, b"x" * 300_000).result())
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_contexts_are_honoured(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METHOD", method)
    assert run_program(tmp_path, CONTEXTS) == "1\n1\n300000\n"
