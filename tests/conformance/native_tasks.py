# mypy: disable-error-code=misc
"""CPython's own tests of tasks and futures, run on Rondel's classes of both.

The suite is written once for all implementations: classes of tests with `Task` and `Future` as
attributes. Here they are run with Rondel's, with subclasses of them, and mixed with asyncio's; on
asyncio's test loop, which these tasks must run on as any task does, and on Rondel's own.

Run it with ``python -m conformance.native_tasks`` in ``tests``; options are those of unittest.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest
import rondel

from conformance import own_classes

if sys.version_info >= (3, 14):
    sys.exit("from Python 3.14 on loops make asyncio's own tasks and futures")

# Their names are not typeshed's.
test_futures: Any = importlib.import_module("test.test_asyncio.test_futures")
test_tasks: Any = importlib.import_module("test.test_asyncio.test_tasks")
test_utils: Any = importlib.import_module("test.test_asyncio.utils")


class TaskTests(test_tasks.BaseTaskTests, test_tasks.SetMethodsTest, test_utils.TestCase):
    Task = rondel.Task
    Future = rondel.Future

    def test_attributes_that_cannot_be_deleted(self) -> None:
        async def coro() -> None:
            pass

        task = self.new_task(self.loop, coro())
        self.loop.run_until_complete(task)
        with pytest.raises(AttributeError):
            del task._log_destroy_pending


class TaskTestsOnRondel(own_classes.OnRondel, TaskTests):
    pass


@test_tasks.add_subclass_tests
class TaskSubclassTests(test_tasks.BaseTaskTests, test_utils.TestCase):
    Task = rondel.Task
    Future = rondel.Future


@test_tasks.add_subclass_tests
class TaskSubclassTestsOnRondel(
    own_classes.OnRondel, test_tasks.BaseTaskTests, test_utils.TestCase
):
    Task = rondel.Task
    Future = rondel.Future


class TaskWithPythonFutureTests(test_tasks.BaseTaskTests, test_utils.TestCase):
    Task = rondel.Task
    Future = test_tasks.futures._PyFuture


class TaskWithNativeFutureTests(test_tasks.BaseTaskTests, test_utils.TestCase):
    Task = rondel.Task
    Future = test_tasks.futures._CFuture


class PythonTaskTests(test_tasks.BaseTaskTests, test_utils.TestCase):
    Task = test_tasks.tasks._PyTask
    Future = rondel.Future


class NativeTaskTests(test_tasks.BaseTaskTests, test_utils.TestCase):
    Task = test_tasks.tasks._CTask
    Future = rondel.Future


class NativeTaskTestsOnRondel(own_classes.OnRondel, NativeTaskTests):
    pass


class FutureTests(test_futures.BaseFutureTests, test_utils.TestCase):
    cls = rondel.Future

    def test_attributes_that_cannot_be_deleted(self) -> None:
        future = self._new_future(loop=self.loop)
        with pytest.raises(AttributeError):
            del future._asyncio_future_blocking
        with pytest.raises(AttributeError):
            del future._log_traceback


class FutureTestsOnRondel(own_classes.OnRondel, FutureTests):
    pass


SubFuture: Any = type("SubFuture", (rondel.Future,), {})


class SubFutureTests(test_futures.BaseFutureTests, test_utils.TestCase):
    cls = SubFuture


class FutureDoneCallbackTests(test_futures.BaseFutureDoneCallbackTests, test_utils.TestCase):
    def _new_future(self) -> Any:
        return rondel.Future(loop=self.loop)


class FutureDoneCallbackTestsOnRondel(
    own_classes.OnRondel, test_futures.BaseFutureDoneCallbackTests, test_utils.TestCase
):
    def run_briefly(self) -> None:
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def _new_future(self) -> Any:
        return rondel.Future(loop=self.loop)


class FutureInheritanceTests(test_futures.BaseFutureInheritanceTests, test_utils.TestCase):
    def _get_future_cls(self) -> type:
        return rondel.Future


if sys.version_info >= (3, 12):
    eager: Any = importlib.import_module("test.test_asyncio.test_eager_task_factory")

    class EagerTaskFactoryTests(eager.EagerTaskFactoryLoopTests, test_utils.TestCase):
        Task = rondel.Task

    class EagerTaskTests(eager.BaseEagerTaskFactoryTests, test_utils.TestCase):
        Task = rondel.Task

    class NonEagerTaskTests(eager.BaseNonEagerTaskFactoryTests, test_utils.TestCase):
        Task = rondel.Task


if __name__ == "__main__":
    sys.exit(own_classes.main(__name__, "tasks and futures"))
