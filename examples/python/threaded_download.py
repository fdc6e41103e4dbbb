"""The first way out: the download waits in a thread of its own, and the main thread goes on.

What to see: other work is done while the download waits. The price is a thread for each download;
`asyncio_download.py` does without.
"""

from __future__ import annotations

import threading

import file_server
import http_get
import make_data


def download_file(url: str) -> None:
    """Download `url`, and block the calling thread meanwhile."""
    print("Downloading file...")
    body = http_get.get_blocking(url)  # waits here; only this thread waits
    print(f"Download complete! {len(body)} bytes")


def main(url: str) -> None:
    """Download in one thread and work in another."""
    print("Starting program")
    thread = threading.Thread(target=download_file, args=(url,))
    thread.start()

    pieces = 0
    while thread.is_alive():
        thread.join(timeout=0.1)  # a piece of work
        pieces += 1
        if pieces == 1:
            print("Doing other work while downloading...")

    print(f"Program finished, with {pieces} pieces of other work done")


if __name__ == "__main__":
    with file_server.serving(make_data.ensure_data(), "--delay=1") as server:
        main(f"{server}/example.txt")
