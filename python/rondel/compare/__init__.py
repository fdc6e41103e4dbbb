"""``python -m rondel compare``: asyncio, threads and processes, measured on this machine.

``command`` reads the options, ``contest`` names what is compared, ``measure`` runs each measurement
in a fresh process (``child``, with the work itself in ``workloads`` and ``units``) against one
``server``, and ``table``, ``document``, ``picture`` and ``advice`` tell the results.
"""

from __future__ import annotations

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Compare as the arguments ask and return the exit code (see ``command.main``)."""
    # The measured processes import this package too, and have no use for the command line.
    from rondel.compare import command

    return command.main(arguments)
