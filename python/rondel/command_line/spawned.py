"""Carries Rondel into processes that a program starts with multiprocessing.

A forked child inherits the loops of its parent; a spawned or forkserver child is a new
interpreter that would fall back to the standard loop, so that the start method, which differs
between platforms and Python versions, would decide what a worker runs on. Both receive what
``multiprocessing.spawn.get_preparation_data`` returns, as a pickle, before anything of the
program is imported. One more entry there makes the child use Rondel while it unpickles.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_MODULE = "multiprocessing.spawn"

# Runs in the child. A child that cannot find Rondel (started with another executable, say) keeps
# its standard loop: a worker on another loop is better than a worker that does not start.
_IN_CHILD = """\
try:
    from rondel.command_line.default_loop import use_rondel
except ImportError:
    pass
else:
    use_rondel(debug={debug}, spin={spin})
"""


class _UseRondel:
    """Unpickles to None, having made Rondel the default in the process that did so."""

    def __init__(self, debug: bool, spin: bool | float) -> None:
        self._debug = debug
        self._spin = spin

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str, dict[str, object]]]:
        return exec, (_IN_CHILD.format(debug=self._debug, spin=self._spin), {})


def follow(*, debug: bool, spin: bool | float = False) -> None:
    """Make children that multiprocessing spawns from now on use Rondel."""

    def patch(module: ModuleType) -> None:
        prepare = module.get_preparation_data

        def get_preparation_data(name: str) -> dict[str, Any]:
            return {**prepare(name), "rondel": _UseRondel(debug, spin)}

        module.get_preparation_data = get_preparation_data  # type: ignore[attr-defined]

    if _MODULE in sys.modules:
        patch(sys.modules[_MODULE])
    else:
        sys.meta_path.insert(0, _OnImport(patch))


class _OnImport(MetaPathFinder):
    """Calls ``patch`` on multiprocessing.spawn when, and only if, the program imports it.

    Importing it here instead would cost every program 10 ms, and would put multiprocessing's exit
    handler, which waits for children, before the program's own.
    """

    def __init__(self, patch: Callable[[ModuleType], None]) -> None:
        self._patch = patch

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                self._patch(module)

            setattr(spec.loader, "exec_module", exec_module)  # noqa: B010
        return spec
