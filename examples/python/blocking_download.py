"""The problem: a blocking download. While it waits for the network, nothing else runs.

What to see: the slow server takes one second to answer, and the program stands still for it.
The "other work" comes only when the download is over.
"""

from __future__ import annotations

import time

import file_server
import http_get
import make_data


def download_file(url: str) -> None:
    """Download `url`, and stand still meanwhile."""
    print("Downloading file...")
    body = http_get.get_blocking(url)  # waits here; the whole program waits
    print(f"Download complete! {len(body)} bytes")


def main(url: str) -> None:
    """Download first; work then."""
    started = time.perf_counter()
    print("Starting program")
    download_file(url)
    print(f"Doing other work, {time.perf_counter() - started:.1f} s late")
    print("Program finished")


if __name__ == "__main__":
    with file_server.serving(make_data.ensure_data(), "--delay=1") as server:
        main(f"{server}/example.txt")
