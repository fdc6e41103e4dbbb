"""Inside an interpreter: which loops asyncio makes, and the count of those that were made.

Imported at the start of every interpreter of a run, children of tests included, so it imports next
to nothing. It acts at the moment at which asyncio is imported, if it ever is.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any, Literal

Kind = Literal["stdlib", "rondel"]
"""Whose loops asyncio makes."""


def arrange(kind: Kind, census: str) -> None:
    """Have asyncio make loops of this kind, and have each loop made added to the file ``census``.

    The file gets a line a loop: "stdlib" for one of the classes that users get, "rondel" for one of
    ours, "double" for what a test has made from asyncio's base classes for its own purposes.
    """
    sys.meta_path.insert(0, _WhenAsyncioIsImported(kind, census))


class _WhenAsyncioIsImported:
    """A finder that changes asyncio as soon as its modules have run, and is gone then."""

    def __init__(self, kind: Kind, census: str) -> None:
        self.kind = kind
        self.census = census

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the spec that asyncio would be loaded by anyway, with the change behind it."""
        if name != "asyncio":
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None:
            loader: Any = spec.loader
            execute = loader.exec_module

            def execute_and_change(module: Any) -> None:
                del loader.exec_module
                execute(module)
                _change(self.kind, self.census)

            loader.exec_module = execute_and_change
        return spec


def _change(kind: Kind, census: str) -> None:
    import asyncio.unix_events
    from asyncio import base_events

    original = asyncio.SelectorEventLoop
    ours: tuple[type, ...] = ()
    if kind == "rondel":
        import rondel

        class Loop(rondel.Loop):
            """Rondel's loop, made like asyncio's: tests ask for a particular selector."""

            def __init__(self, selector: Any = None) -> None:
                if selector is not None:
                    selector.close()
                super().__init__()

        ours = (rondel.Loop,)
        replace(original, Loop)
        replace_base(Loop)

    initialise: Any = base_events.BaseEventLoop.__init__

    def count_and_initialise(self: Any, *args: Any, **kwargs: Any) -> None:
        if isinstance(self, ours):
            made = "rondel"
        elif isinstance(self, original):
            made = "stdlib"
        else:
            made = "double"
        with open(census, "a") as file:
            file.write(made + "\n")
        initialise(self, *args, **kwargs)

    base_events.BaseEventLoop.__init__ = count_and_initialise  # type: ignore[method-assign]


def replace_base(replacement: Any) -> None:
    """Replace asyncio's base class where it is itself made into a loop, as tests do.

    Classes of tests that derive from it are left alone: what they override is how it is made.
    """
    from asyncio.base_events import BaseEventLoop

    def make(cls: type, *args: Any, **kwargs: Any) -> Any:
        if cls is BaseEventLoop:
            return replacement.__new__(replacement)
        return object.__new__(cls)

    BaseEventLoop.__new__ = make  # type: ignore[method-assign]


def replace_test_loops() -> None:
    """Have asyncio's test cases use real loops for what they use loops of simulated time for.

    Those remain where a test says which time it is when.
    """
    helpers = sys.modules.get("test.test_asyncio.utils")
    if helpers is None:
        return
    simulated = helpers.TestCase.new_test_loop

    def new_test_loop(self: Any, gen: Any = None) -> Any:
        if gen is not None:
            return simulated(self, gen)
        import asyncio

        loop = asyncio.new_event_loop()
        self.set_event_loop(loop)
        return loop

    helpers.TestCase.new_test_loop = new_test_loop


def replace(original: type, replacement: type) -> None:
    """Replace a loop's class wherever asyncio has it: under every name, and in its policies."""
    for name, module in list(sys.modules.items()):
        if name != "asyncio" and not name.startswith("asyncio."):
            continue
        for attribute, value in list(vars(module).items()):
            if value is original:
                setattr(module, attribute, replacement)
            elif isinstance(value, type) and vars(value).get("_loop_factory") is original:
                setattr(value, "_loop_factory", replacement)  # noqa: B010 - typeshed lacks it
