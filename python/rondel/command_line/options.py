"""The options of ``python -m rondel``, read the way the interpreter reads its own.

Reading ends at the program: what follows it belongs to the program, whatever it looks like. That,
and ``-m`` and ``-c`` ending the options, is why this is not ``argparse``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from rondel.command_line.program import Program

HELP = """\
usage: python -m rondel [--debug] [--spin] [--info] PROGRAM.py [ARGUMENT ...]
       python -m rondel [--debug] [--spin] [--info] -m MODULE [ARGUMENT ...]
       python -m rondel [--debug] [--spin] [--info] -c CODE [ARGUMENT ...]
       python -m rondel compare [OPTION ...]
       python -m rondel --info

Run an unmodified asyncio program on Rondel: asyncio.run, asyncio.Runner and
asyncio.new_event_loop give Rondel loops, and everything else is as under plain python.
A loop that the program names itself (a loop_factory, asyncio.SelectorEventLoop) is respected.

  PROGRAM.py     a Python file, or a directory or zip file with a __main__.py; - reads stdin
  -m MODULE      a module, as python -m
  -c CODE        a program given as text, as python -c
  compare        measure asyncio, threads and processes on this machine
                 (a program file of that name is reached as ./compare)
  --debug        asyncio's debug mode, as PYTHONASYNCIODEBUG=1
  --spin[=MICROSECONDS]
                 look for what arrives for up to so long (50) before sleeping: quicker
                 answers, more CPU time
  --info         print versions, driver and kernel features (before the program, on stderr)
  -V, --version  print the version
  -h, --help     print this text
  --             ends the options

Options of the interpreter go to the interpreter: python -X dev -W error -m rondel PROGRAM.py
"""

_SEE_HELP = "(python -m rondel --help lists what there is)"


class BadUsage(Exception):
    """The arguments make no sense; ``str()`` is the line to print."""


class Invocation(NamedTuple):
    """What the arguments ask for; with action ``run``, a ``program`` of None means ``compare``."""

    action: Literal["run", "info", "version", "help"]
    program: Program | None = None
    arguments: Sequence[str] = ()
    debug: bool = False
    info: bool = False
    spin: bool | float = False


def parse(arguments: list[str]) -> Invocation:
    """Read the arguments after ``python -m rondel``.

    Raises :exc:`BadUsage` for an unknown option, a missing value, or nothing to run.
    """
    debug = info = False
    spin: bool | float = False
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--debug":
            debug = True
        elif argument == "--info":
            info = True
        elif argument == "--spin":
            spin = True
        elif argument.startswith("--spin="):
            spin = _microseconds(argument)
        elif argument in ("-h", "--help"):
            return Invocation("help")
        elif argument in ("-V", "--version"):
            return Invocation("version")
        elif argument == "--":
            if not rest:
                break
            return Invocation("run", Program("path", rest[0], rest[1:]), (), debug, info, spin)
        elif argument == "-":
            return Invocation("run", Program("stdin", "-", rest), (), debug, info, spin)
        elif argument.startswith(("-m", "-c")):
            return Invocation("run", _module_or_code(argument, rest), (), debug, info, spin)
        elif argument.startswith("-"):
            raise BadUsage(_unknown(argument))
        elif argument == "compare":
            if debug:
                raise BadUsage("--debug is for programs, not for compare: it would slow one side")
            if spin:
                raise BadUsage("--spin is for programs, not for compare: it would help one side")
            return Invocation("run", None, rest, debug, info)
        else:
            return Invocation("run", Program("path", argument, rest), (), debug, info, spin)
    if info:
        return Invocation("info")
    raise BadUsage(f"no program to run {_SEE_HELP}")


def _microseconds(option: str) -> float:
    value = option.partition("=")[2]
    if not (value.isascii() and value.isdigit()):
        raise BadUsage(f"{option}: {value!r} is no number of microseconds")
    return int(value) / 1e6


def _module_or_code(argument: str, rest: list[str]) -> Program:
    option, value = argument[:2], argument[2:]
    if not value:
        if not rest:
            raise BadUsage(f"argument expected for the {option} option")
        value = rest.pop(0)
    return Program("module" if option == "-m" else "code", value, rest)


def _unknown(argument: str) -> str:
    # Anything python itself knows is most likely meant for it.
    if not argument.startswith("--") and argument[1] in "bBdEiIOPqRsSuvWxX":
        return f"unknown option {argument}: options of the interpreter go before -m rondel"
    return f"unknown option {argument} {_SEE_HELP}"
