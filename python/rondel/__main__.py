"""``python -m rondel``: runs a program on Rondel (see ``rondel.command_line``)."""

from __future__ import annotations

import sys

from rondel.command_line import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
