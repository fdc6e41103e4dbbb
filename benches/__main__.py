"""``python -m benches``, in the project's folder."""

from __future__ import annotations

import sys

from benches.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
