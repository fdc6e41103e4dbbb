"""Starting worker processes.

Without a multiprocessing context of the user's, a worker is a new interpreter that multiprocessing
knows as a spawned process (`multiprocessing.active_children()`, `parent_process()` and so on hold),
but that is started in a third of the time: it loads only what it runs, and neither it nor the pool
needs multiprocessing's resource tracker, which is another process.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
from collections.abc import Callable
from multiprocessing import get_context, popen_spawn_posix, reduction, resource_tracker, spawn, util
from multiprocessing.context import BaseContext, set_spawning_popen
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from rondel.executors.processes import child
from rondel.executors.processes.child import Ends

__all__ = ["start"]

# A package by its path, under a name of its own: `import rondel` takes longer than all the rest,
# and is left to those whose functions need it. Nothing is imported from the current directory.
_BOOT = """\
import sys
sys.path[:] = filter(None, sys.path)
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("_rondel_worker", {init!r}, submodule_search_locations=[{folder!r}])
sys.modules["_rondel_worker"] = package = module_from_spec(spec)
spec.loader.exec_module(package)
from _rondel_worker.boot import main
main({data})
"""


def start(
    context: BaseContext | None,
    ends: Ends,
    initializer: Callable[..., object] | None,
    initargs: tuple[Any, ...],
) -> BaseProcess:
    """Start a worker process on its ends of the connection.

    Raises OSError if the system is out of processes, memory or descriptors, and whatever pickling
    the initializer and its arguments raises.
    """
    process: BaseProcess
    if context is None and not getattr(sys, "frozen", False):
        process = _LightProcess(ends, initializer, initargs)
    else:
        # A frozen program is started again by multiprocessing's rules only.
        chosen: Any = context or get_context("spawn")
        process = chosen.Process(target=child.serve, args=(ends, initializer, initargs))
    process.start()
    return process


class _LightPopen(popen_spawn_posix.Popen):
    """How a light process is started and watched; the sentinel is a pidfd."""

    _fds: list[int]

    def _launch(self, process: _LightProcess) -> None:
        data = os.memfd_create("rondel-worker", os.MFD_CLOEXEC)
        try:
            for_child = self._describe(process)
            with open(data, "wb", closefd=False) as file:
                file.write(for_child.getbuffer())
            os.lseek(data, 0, os.SEEK_SET)
            init = Path(child.__file__)
            boot = _BOOT.format(init=str(init), folder=str(init.parent), data=data)
            private: Any = util
            flags = private._args_from_interpreter_flags()
            executable = spawn.get_executable()
            self.pid = private.spawnv_passfds(
                executable, [executable, *flags, "-c", boot], [data, *self._fds]
            )
        finally:
            os.close(data)
        try:
            self.sentinel = os.pidfd_open(self.pid)
        except BaseException:
            self.kill()
            self.wait()
            raise
        self.finalizer = util.Finalize(self, os.close, (self.sentinel,))

    def _describe(self, process: _LightProcess) -> io.BytesIO:
        """Return what the child reads; notes the descriptors that it inherits in `_fds`."""
        ends = process.ends
        descriptors = [ends.socket, ends.requests, ends.responses]
        self._fds += descriptors
        # Known only to a program that has made something that it tracks: without, the child makes
        # its own should it need one.
        tracker = getattr(resource_tracker._resource_tracker, "_fd", None)
        if tracker is not None:
            self._fds.append(tracker)
        for_child = io.BytesIO()
        pickle.dump([os.getpid(), tracker, *descriptors], for_child)
        preparation = spawn.get_preparation_data(process.name)
        main = preparation.get("init_main_from_path")
        if main is not None and not Path(main).exists():
            # Standard input, a notebook: there is nothing to import.
            del preparation["init_main_from_path"]
        set_spawning_popen(self)
        try:
            reduction.dump(preparation, for_child)
            reduction.dump((process.state(), *process.initialization), for_child)
        finally:
            set_spawning_popen(None)
        return for_child


class _LightProcess(BaseProcess):
    """A worker as multiprocessing sees it from the pool's side."""

    _start_method = "spawn"

    def __init__(
        self, ends: Ends, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]
    ) -> None:
        super().__init__()
        self.ends = ends
        self.initialization = (initializer, initargs)

    @staticmethod
    def _Popen(process: _LightProcess) -> _LightPopen:  # noqa: N802 - multiprocessing's name
        return _LightPopen(process)

    def start(self) -> None:
        super().start()
        del self.ends, self.initialization

    def state(self) -> dict[str, Any]:
        """What multiprocessing keeps in a process object, for the child's own."""
        names = ("_identity", "_config", "_parent_pid", "_parent_name", "_name")
        return {
            **{name: getattr(self, name) for name in names},
            "_popen": None,
            "_closed": False,
        }
