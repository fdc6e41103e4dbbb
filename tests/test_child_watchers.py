"""Child watchers, which Python 3.11 to 3.13 have: one that somebody sets is used."""

from __future__ import annotations

import asyncio
import os
import sys
import warnings
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from typing import Any

import pytest
from support.leaks import kernel_threads
from support.loops import Loop

if sys.version_info >= (3, 14):
    pytest.skip("child watchers are gone from Python 3.14 on", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)

    class Witness(asyncio.AbstractChildWatcher):  # type: ignore[name-defined, misc]
        """A child watcher that somebody has set: it waits in the loop, and says what it did."""

        def __init__(self) -> None:
            self.asked: list[int] = []

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def is_active(self) -> bool:
            return True

        def attach_loop(self, loop: object) -> None:
            pass

        def close(self) -> None:
            pass

        def remove_child_handler(self, pid: int) -> bool:
            return False

        def add_child_handler(self, pid: int, callback: Any, *args: Any) -> None:
            self.asked.append(pid)

            def wait() -> None:
                _, status = os.waitpid(pid, 0)
                callback(pid, os.waitstatus_to_exitcode(status), *args)

            asyncio.get_running_loop().call_soon(wait)


@pytest.fixture
def policy() -> Iterator[Any]:
    """The policy of this test, without a child watcher."""
    policy = asyncio.DefaultEventLoopPolicy()
    asyncio.set_event_loop_policy(policy)
    yield policy
    asyncio.set_event_loop_policy(None)


async def test_a_child_watcher_that_somebody_sets_is_used(loop: Loop, policy: Any) -> None:
    witness = Witness()
    policy.set_child_watcher(witness)
    process = await asyncio.create_subprocess_exec("true")
    assert witness.asked == [process.pid]
    assert await process.wait() == 0


async def test_a_child_watcher_that_is_not_active_is_an_error(loop: Loop, policy: Any) -> None:
    class Inactive(Witness):
        def is_active(self) -> bool:
            return False

    policy.set_child_watcher(Inactive())
    with pytest.raises(RuntimeError, match="get_child_watcher\\(\\) is not activated"):
        await asyncio.create_subprocess_exec("true")


@pytest.mark.rondel_only
async def test_no_child_watcher_is_made_unasked(loop: Loop, policy: Any) -> None:
    process = await asyncio.create_subprocess_exec("true")
    assert await process.wait() == 0
    assert policy._watcher is None


@pytest.mark.rondel_only
async def test_the_child_watcher_that_asyncio_makes_by_itself_is_not_a_choice(
    loop: Loop, policy: Any
) -> None:
    before = kernel_threads()
    assert policy.get_child_watcher() is not None
    process = await asyncio.create_subprocess_exec("cat", stdin=PIPE)
    assert kernel_threads() <= before
    await process.communicate(b"")
    assert process.returncode == 0


@pytest.mark.rondel_only
async def test_a_policy_without_child_watchers_will_do(loop: Loop) -> None:
    class Policy(asyncio.DefaultEventLoopPolicy):  # type: ignore[valid-type, misc]
        def get_child_watcher(self) -> Any:
            raise NotImplementedError

    asyncio.set_event_loop_policy(Policy())
    try:
        process = await asyncio.create_subprocess_exec("true")
        assert await process.wait() == 0
    finally:
        asyncio.set_event_loop_policy(None)
