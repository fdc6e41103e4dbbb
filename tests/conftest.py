"""Fixtures of the behaviour tests: every test runs on both loops and leaves nothing behind.

A test fails, whatever it asserts, when a loop's exception handler was called, an error was logged
to the "asyncio" logger, an exception was lost in a finalizer or a thread, or a descriptor, thread,
task or loop is left over. A test that provokes such an error takes it from ``strays`` or
``asyncio_errors`` and judges it.

``async def`` tests run on the ``loop`` fixture, which they must name.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import inspect
import logging
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.certificates import Certificates
from support.fuzz import ROUNDS, SAMPLE, SEED, replay
from support.leaks import ErrorLog, Ledger, Strays
from support.loops import (
    STDLIB,
    Loop,
    LoopFactory,
    kinds,
    kinds_with_debug,
    new_loop,
    rondel_is_built,
    stdlib_only,
)

GUARD = 30.0
"""Seconds after which an ``async def`` test is taken to hang."""
LAST_RESORT = 200.0
"""Seconds after which a test that nothing else could end ends the whole run."""

LONGEST = {
    *("test_scale.py", "test_scale_tls.py", "test_benches.py"),
    *("frameworks", "past_one_machine"),
}
"""Files, or folders of them, whose tests take seconds each; they run last."""
IN_NO_SAMPLE = {
    *("test_benches.py", "test_conformance_judge.py", "test_executor_judge.py", "test_soak.py"),
    "test_pool_endings.py",
}
"""Files that test the tests' own tools, or what the tests of pools have in short: one Python is
enough."""
ON_RONDEL_IN_A_SAMPLE = {"test_examples.py", "test_examples_mirror.py"}
"""Files whose programs take seconds each, for which asyncio's own loop need not be asked twice."""
STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    # Warnings are errors. pytest's own rule for a failing finalizer is left to the fixtures below.
    config.addinivalue_line("filterwarnings", "error")
    config.addinivalue_line(
        "markers", "rondel_only: asyncio's loop does not promise it, or not in every version"
    )
    # A shell has what it runs in the background ignore Ctrl-C; programs under test inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[STDERR] = os.dup(2)  # before pytest captures it
    if not rondel_is_built() and not stdlib_only():
        raise pytest.UsageError(
            "rondel is not importable: build it first, or set RONDEL_TESTS_STDLIB_ONLY=1 "
            "to try the tests on the standard library's loop alone"
        )


def pytest_report_header() -> list[str]:
    return [f"loops: {', '.join(kinds())}", f"fuzz: {replay(SEED, ROUNDS)}"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if stdlib_only():
        terminalreporter.section("RONDEL WAS NOT TESTED", red=True, bold=True)
        terminalreporter.line("It is not built; only the standard library's loop ran.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not LONGEST.isdisjoint((item.path.name, item.path.parent.name)))
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(120))
        if SAMPLE and is_left_to_the_whole(item):
            item.add_marker(pytest.mark.skip(reason="the run that is no sample has it"))


def is_left_to_the_whole(item: pytest.Item) -> bool:
    """Whether a sample does without a test."""
    if item.path.name in ON_RONDEL_IN_A_SAMPLE:
        callspec = getattr(item, "callspec", None)
        return callspec is not None and callspec.params.get("kind") == STDLIB
    return item.path.name in IN_NO_SAMPLE


def pytest_collection_finish() -> None:
    # A first loop makes what a process keeps for all loops; then everything so far is taken out
    # of the collector's sight, which makes the collections around each test cheap.
    for kind in kinds():
        loop = new_loop(kind)
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    # A native loop that spins without looking at signals can only be ended from outside.
    faulthandler.dump_traceback_later(LAST_RESORT, exit=True, file=item.config.stash[STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an ``async def`` test on its loop, bounded in time."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    loop = pyfuncitem.funcargs.get("loop")
    if not isinstance(loop, asyncio.AbstractEventLoop):
        raise pytest.UsageError(f"{pyfuncitem.nodeid} is async and must name the loop fixture")
    names = inspect.signature(test).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}

    async def guarded() -> None:
        async with asyncio.timeout(GUARD):
            await test(**arguments)

    loop.run_until_complete(guarded())
    return True


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "loop_kind" not in metafunc.fixturenames:
        return
    # What only starts programs chooses their mode by the interpreter's options. Frameworks would
    # do nothing else in debug mode, and take far longer.
    framework = metafunc.definition.path.parent.name == "frameworks"
    in_process = "loop_factory" in metafunc.fixturenames
    wanted = kinds_with_debug() if in_process and not framework else kinds()
    rondel_only = metafunc.definition.get_closest_marker("rondel_only") is not None
    if (rondel_only or (framework and SAMPLE)) and wanted != [STDLIB]:
        wanted.remove(STDLIB)
    metafunc.parametrize("loop_kind", wanted, indirect=True)


@pytest.fixture
def loop_kind(request: pytest.FixtureRequest) -> str:
    """Which loop the test runs on."""
    kind: str = request.param
    return kind


@pytest.fixture
def nothing_left_behind() -> Iterator[Ledger]:
    """Fail the test when descriptors, threads or lost errors are left after it."""
    ledger = Ledger()
    yield ledger
    left = ledger.close()
    assert not left, "\n".join(left)


@pytest.fixture
def no_child_left() -> Iterator[None]:
    """Every child is reaped when its test is over."""
    yield
    gc.collect()
    subprocess._cleanup()  # type: ignore[attr-defined]
    left = []
    with contextlib.suppress(ChildProcessError):
        left.append(os.waitpid(-1, os.WNOHANG))
        while left[-1] != (0, 0):  # which stands for those that still run
            left.append(os.waitpid(-1, os.WNOHANG))
    assert not left


@pytest.fixture
def only_sockets_left_to_the_collector(nothing_left_behind: Ledger) -> Iterator[None]:
    """Let the standard library leave the sockets of failed calls to the collector, as it does."""
    yield
    left = nothing_left_behind.take_lost_errors()
    assert all("ResourceWarning" in error and "unclosed <socket" in error for error in left), left


@pytest.fixture
def asyncio_errors(nothing_left_behind: Ledger) -> Iterator[ErrorLog]:
    """Errors on the "asyncio" logger; those the test does not take fail it."""
    log = ErrorLog()
    logger = logging.getLogger("asyncio")
    logger.addHandler(log)
    yield log
    gc.collect()
    logger.removeHandler(log)
    left = [record.getMessage() for record in log.take()]
    assert not left, f"errors logged that the test did not expect: {left}"


@pytest.fixture
def strays(asyncio_errors: ErrorLog) -> Iterator[Strays]:
    """Calls of the loops' exception handler; those the test does not take fail it."""
    strays = Strays()
    yield strays
    gc.collect()
    left = strays.take()
    first = "\n".join(repr(context) for context in left[:3])
    assert not left, f"exception handler called unexpectedly, {len(left)} times:\n{first}"


@pytest.fixture
def loop_factory(loop_kind: str, strays: Strays) -> Iterator[LoopFactory]:
    """Makes loops that the test must close."""
    factory = LoopFactory(loop_kind, strays)
    yield factory
    left = factory.left_open()
    factory.made.clear()
    assert not left, f"loops not closed: {left}"


@pytest.fixture
def loop(loop_factory: LoopFactory) -> Iterator[Loop]:
    """A loop that is closed after the test, which must leave no task on it."""
    loop = loop_factory()
    yield loop
    if loop.is_closed():
        return
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(asyncio.wait_for(loop.shutdown_default_executor(), GUARD))
    loop.close()
    assert not left, f"tasks left: {left}"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A certificate authority made for this run, and a certificate for localhost."""
    folder: Path = tmp_path_factory.mktemp("certificates")
    return Certificates(folder)
