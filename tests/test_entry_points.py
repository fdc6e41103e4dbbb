"""Rondel's own names: ``run``, ``new_event_loop``, ``Loop``, the policy, ``install``."""

from __future__ import annotations

import asyncio
import sys

import pytest
from support.child import clean_output
from support.loops import RONDEL, kinds

if RONDEL not in kinds():
    pytest.skip("Rondel is not built", allow_module_level=True)

import rondel

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


async def the_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_run_runs_on_a_new_loop_and_closes_it() -> None:
    first = rondel.run(the_loop())
    second = rondel.run(the_loop())
    assert type(first) is rondel.Loop
    assert first is not second
    assert first.is_closed()


def test_run_returns_the_result_and_raises_the_error() -> None:
    async def answer() -> int:
        return 42

    async def fail() -> None:
        raise LookupError("failed")

    assert rondel.run(answer()) == 42
    with pytest.raises(LookupError, match="failed"):
        rondel.run(fail())


@pytest.mark.parametrize("debug", [True, False])
def test_run_sets_debug_mode(debug: bool) -> None:
    async def ask() -> bool:
        return asyncio.get_running_loop().get_debug()

    assert rondel.run(ask(), debug=debug) is debug
    assert rondel.run(ask()) is bool(sys.flags.dev_mode)


@pytest.mark.parametrize("wrong", [None, 5, the_loop])
def test_run_takes_a_coroutine_only(wrong: object) -> None:
    with pytest.raises((TypeError, ValueError)) as expected:
        asyncio.run(wrong)  # type: ignore[arg-type]
    with pytest.raises(expected.type):
        rondel.run(wrong)  # type: ignore[arg-type]


def test_run_within_a_run_is_refused() -> None:
    async def nested() -> None:
        coroutine = the_loop()
        with pytest.raises(RuntimeError, match="cannot be called from a running event loop"):
            rondel.run(coroutine)
        coroutine.close()

    rondel.run(nested())


def test_run_cancels_what_is_left_and_closes_generators() -> None:
    ended: list[str] = []

    async def linger() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("task")

    async def numbers():  # type: ignore[no-untyped-def]
        try:
            yield 1
        finally:
            ended.append("generator")

    generator = numbers()

    async def main() -> None:
        tasks.append(asyncio.create_task(linger()))
        await anext(generator)
        await asyncio.sleep(0)

    tasks: list[asyncio.Task[None]] = []
    rondel.run(main())
    assert ended == ["task", "generator"]
    assert tasks[0].cancelled()


def test_new_event_loop_makes_an_open_loop_that_is_not_current() -> None:
    loop = rondel.new_event_loop()
    try:
        assert type(loop) is rondel.Loop
        assert not loop.is_closed()
        assert not loop.is_running()
        assert loop.driver == rondel.driver_report()["driver"]
    finally:
        loop.close()


def test_the_version_is_the_packages() -> None:
    from importlib.metadata import version

    assert rondel.__version__ == version("rondel")


@pytest.mark.skipif(sys.version_info >= (3, 16), reason="policies are gone from 3.16 on")
def test_the_policy_makes_rondel_loops() -> None:
    policy = rondel.EventLoopPolicy()
    loop = policy.new_event_loop()
    assert type(loop) is rondel.Loop
    loop.close()


@pytest.mark.skipif(sys.version_info >= (3, 16), reason="policies are gone from 3.16 on")
def test_install_makes_asyncio_use_rondel() -> None:
    program = """
    import rondel
    rondel.install()

    async def main():
        return type(asyncio.get_running_loop()) is rondel.Loop

    assert asyncio.run(main())
    loop = asyncio.new_event_loop()
    assert type(loop) is rondel.Loop
    loop.close()

    async def child():
        process = await asyncio.create_subprocess_exec("true")
        return await process.wait()

    assert asyncio.run(child()) == 0
    print("installed")
    """
    assert clean_output(RONDEL, program) == "installed\n"


def test_importing_and_running_is_silent() -> None:
    program = """
    import rondel
    rondel.run(asyncio.sleep(0))
    rondel.new_event_loop().close()
    """
    assert clean_output(RONDEL, program) == ""
