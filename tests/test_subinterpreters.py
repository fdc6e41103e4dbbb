"""Subinterpreters: Rondel says that it cannot be had there, and the main one goes on."""

from __future__ import annotations

import sys

import pytest
from support.child import clean_output
from support.loops import RONDEL, stdlib_only

if stdlib_only():
    pytest.skip("says what Rondel does", allow_module_level=True)

if sys.version_info >= (3, 13):
    CREATE = {kind: f"_interpreters.create({kind!r})" for kind in ("isolated", "legacy")}
else:
    CREATE = {
        "isolated": "_xxsubinterpreters.create(isolated=True)",
        "legacy": "_xxsubinterpreters.create(isolated=False)",
    }

PROGRAM = """
try:
    import _interpreters
except ImportError:
    import _xxsubinterpreters
    run, destroy = _xxsubinterpreters.run_string, _xxsubinterpreters.destroy
else:
    run, destroy = _interpreters.exec, _interpreters.destroy

with asyncio.Runner(loop_factory=make_loop) as runner:
    runner.run(asyncio.sleep(0))

interpreter = {create}
run(interpreter, '''
try:
    import rondel
except ImportError as error:
    print(error, flush=True)
''')
destroy(interpreter)

with asyncio.Runner(loop_factory=make_loop) as runner:
    print(runner.run(asyncio.sleep(0, "the main interpreter goes on")))
"""


@pytest.mark.parametrize("kind", CREATE)
def test_importing_rondel_in_a_subinterpreter_fails_clearly(kind: str) -> None:
    error, *rest = clean_output(RONDEL, PROGRAM.format(create=CREATE[kind])).splitlines()
    assert error == "module rondel._rondel does not support loading in subinterpreters"
    assert rest == ["the main interpreter goes on"]
