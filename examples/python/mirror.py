"""mirror: download a list of URLs, many at once, and lose nothing when the network fails.

    mirror.py --into DIR URL[#sha256=HEX] ...        mirror.py --help

It downloads with a limit on how many at once, retries with growing pauses, notices a silent server,
checks SHA-256 sums, goes on where a broken download stopped (in the same run or the next one), and
fetches nothing that is up to date. A file gets its name only when it is whole and right.

What to see without arguments: a rehearsal against a local server that refuses the first request for
each file and breaks off the second one halfway. Every file arrives all the same; then a second run
finds that nothing is left to do. It needs aiohttp: `pip install aiohttp`.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path

try:
    from mirror_app import cli
except ModuleNotFoundError as error:
    if error.name != "aiohttp":
        raise
    sys.exit("this example needs aiohttp: pip install aiohttp")


def rehearse() -> int:
    """Mirror the examples' own data from a local server with faults, twice."""
    import file_server
    import make_data

    os.environ["no_proxy"] = "127.0.0.1"
    data = make_data.ensure_data()
    with (
        tempfile.TemporaryDirectory() as folder,
        file_server.serving(data, "--delay=0.1", "--fail-first=1", "--cut-first=1") as server,
    ):
        urls = []
        for name in ("example.txt", "file1.txt", "file2.txt", "file3.txt", "large1.txt"):
            with Path(data, name).open("rb") as file:
                urls.append(
                    f"{server}/{name}#sha256={hashlib.file_digest(file, 'sha256').hexdigest()}"
                )
        arguments = ["--into", folder, "--jobs", "3", "--backoff", "0.1", *urls]
        print(f"Rehearsal: mirroring {len(urls)} files from a server with faults, {server}")
        first = cli.main(arguments)
        print("Once more:")
        return first or cli.main(arguments)


if __name__ == "__main__":
    sys.exit(cli.main(sys.argv[1:]) if sys.argv[1:] else rehearse())
