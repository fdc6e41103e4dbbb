"""The command line: ``python -m rondel``.

``options`` reads the arguments, ``default_loop`` makes Rondel the loop that asyncio creates,
``program`` runs the program as the interpreter itself would, ``spawned`` carries Rondel into the
processes that the program starts with multiprocessing, and ``info`` prints what runs here.
"""

from __future__ import annotations

import sys

from rondel import __version__
from rondel.command_line import default_loop, info, options, program

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Do what ``python -m rondel ARGUMENTS`` asks and return the exit code.

    0 for success, 2 for a bad option or a program that cannot be read (each with one line on
    stderr). What an uncaught exception, ``sys.exit`` or Ctrl-C of the program leads to is raised
    through, for the interpreter to turn it into output and exit code as it does for any program.
    """
    try:
        invocation = options.parse(arguments)
    except options.BadUsage as error:
        print(f"python -m rondel: {error}", file=sys.stderr)
        return 2
    match invocation.action:
        case "help":
            print(options.HELP, end="")
            return 0
        case "version":
            print(f"rondel {__version__}")
            return 0
        case "info":
            print(info.report())
            return 0
        case _:
            pass
    if invocation.info:
        print(info.report(), file=sys.stderr, flush=True)
    if invocation.program is None:
        from rondel import compare

        return compare.main(list(invocation.arguments))
    default_loop.use_rondel(debug=invocation.debug, spin=invocation.spin)
    return program.run(invocation.program)
