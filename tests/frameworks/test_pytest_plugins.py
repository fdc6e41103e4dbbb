"""pytest's async plugins run other projects' tests on the loop: pytest-asyncio's and anyio's."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support.child import STRICT, environment
from support.required import library

library("pytest_asyncio")
library("anyio")

PYTEST_ASYNCIO = (
    *("-p", "pytest_asyncio.plugin"),
    *("-o", "asyncio_default_fixture_loop_scope=function"),
)
ANYIO = ("-p", "anyio.pytest_plugin")

PRELUDE = """
    import asyncio
    from functools import partial
    import pytest
    from support.loops import new_loop, rondel_is_built

    KIND = {kind!r}

    def is_right(loop):
        return type(loop) is type(MODEL)

    MODEL = new_loop(KIND)
    MODEL.close()
"""
BY_HOOK = """
    import pytest_asyncio
    mark, async_fixture = pytest.mark.asyncio, pytest_asyncio.fixture

    def pytest_asyncio_loop_factories(config, item):
        return {KIND: partial(new_loop, KIND)}
"""
BY_POLICY = """
    import pytest_asyncio
    mark, async_fixture = pytest.mark.asyncio, pytest_asyncio.fixture

    @pytest.fixture(scope="session")
    def event_loop_policy():
        if KIND == "stdlib":
            return asyncio.DefaultEventLoopPolicy()
        import rondel
        return rondel.EventLoopPolicy()
"""
BY_ANYIO = """
    mark, async_fixture = pytest.mark.anyio, pytest.fixture

    @pytest.fixture
    def anyio_backend():
        return "asyncio", {"loop_factory": partial(new_loop, KIND)}
"""
TESTS = """
    import asyncio
    import sys
    import pytest
    from conftest import async_fixture, is_right, mark

    @async_fixture
    async def server():
        async def answer(reader, writer):
            writer.write((await reader.readline()).upper())
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            yield server.sockets[0].getsockname()

    @mark
    async def test_the_loop_is_right():
        assert is_right(asyncio.get_running_loop())

    @mark
    async def test_fixtures_and_tests_share_a_loop(server):
        for _ in range(10):
            reader, writer = await asyncio.open_connection(*server)
            writer.write(b"hello\\n")
            assert await reader.read() == b"HELLO\\n"
            writer.close()
            await writer.wait_closed()

    @mark
    @pytest.mark.parametrize("number", range(5))
    async def test_tasks_and_threads_and_processes(number):
        async with asyncio.TaskGroup() as group:
            thread = group.create_task(asyncio.to_thread(pow, number, 2))
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", f"print({number})", stdout=asyncio.subprocess.PIPE
            )
        assert thread.result() == number**2
        assert (await process.communicate())[0] == b"%d\\n" % number

    @mark
    async def test_that_fails():
        await asyncio.sleep(0)
        assert not is_right(asyncio.get_running_loop())

    def test_without_a_loop():
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
"""


@pytest.mark.parametrize(
    ("plugin", "configuration"),
    [
        pytest.param(PYTEST_ASYNCIO, BY_HOOK, id="pytest-asyncio-by-factory"),
        pytest.param(
            PYTEST_ASYNCIO,
            BY_POLICY,
            id="pytest-asyncio-by-policy",
            marks=pytest.mark.skipif(
                sys.version_info >= (3, 14), reason="policies are deprecated from 3.14 on"
            ),
        ),
        pytest.param(ANYIO, BY_ANYIO, id="anyio"),
    ],
)
def test_a_plugin_runs_tests_and_fixtures_on_the_loop(
    loop_kind: str, plugin: tuple[str, ...], configuration: str, tmp_path: Path
) -> None:
    prelude = textwrap.dedent(PRELUDE).replace("{kind!r}", repr(loop_kind))
    (tmp_path / "conftest.py").write_text(prelude + textwrap.dedent(configuration))
    (tmp_path / "test_it.py").write_text(textwrap.dedent(TESTS))
    done = subprocess.run(
        [
            *(sys.executable, *STRICT, "-m", "pytest", "-c/dev/null", f"--rootdir={tmp_path}"),
            *(*plugin, "-p", "no:cacheprovider", str(tmp_path)),
            *("-W", "error", "-W", 'ignore:Overriding the "event_loop_policy" fixture'),
        ],
        cwd=tmp_path,
        env={**environment(), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "== 1 failed, 8 passed in" in done.stdout, done.stdout + done.stderr
    assert "\nFAILED test_it.py::test_that_fails" in done.stdout
    assert done.stderr == ""
