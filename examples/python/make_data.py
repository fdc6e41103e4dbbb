"""Make the text files that the examples read: `make_data.py [DIR] [--large-mib N]`.

`example.txt` and `file1.txt` to `file3.txt` are a line or two; `large1.txt` and `large2.txt` are N
MiB of short lines. A file that is there already, in the size asked for, is left alone. Every file
appears under its name only when it is whole, so that several programs may make the data at once.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data"

SMALL = {
    "example.txt": "An event loop waits for many things at once\nand runs what is ready.\n",
    "file1.txt": "The first file: a reader asks, and the loop goes on.\n",
    "file2.txt": "The second file: meanwhile, another reader asks.\n",
    "file3.txt": "The third file: the answers come in the order of the questions.\n",
}

# The width of a line, in bytes with its newline. They differ so that the line counts differ.
LARGE = {"large1.txt": 64, "large2.txt": 80}

ON_DEMAND_MIB = 16
DEFAULT_MIB = 64


def ensure_data(directory: Path = DATA) -> Path:
    """Make what is missing in `directory`, the large files small; return `directory`."""
    for name in (*SMALL, *LARGE):
        if not (directory / name).exists():
            make_file(directory / name, ON_DEMAND_MIB)
    return directory


def make_file(path: Path, large_mib: int) -> bool:
    """Make the data file `path`, unless it is there in that size; tell whether it was made."""
    text = SMALL.get(path.name)
    width = 0 if text is not None else LARGE[path.name]
    size = len(text.encode()) if text is not None else large_mib * 2**20 // width * width
    if path.exists() and path.stat().st_size == size:
        return False

    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if text is not None:
            unfinished.write_text(text, encoding="utf-8")
        else:
            write_lines(unfinished, width, size // width)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return True


def write_lines(path: Path, width: int, count: int) -> None:
    """Write `count` lines of `width` bytes, a block of many lines at a time."""
    block = b"".join(f"{i:07} ".encode().ljust(width - 1, b".") + b"\n" for i in range(16384))
    blocks, rest = divmod(count * width, len(block))
    with path.open("wb") as file:
        for _ in range(blocks):
            file.write(block)
        file.write(block[:rest])


def main() -> None:
    """Make every file, and say which were made."""
    parser = argparse.ArgumentParser(description="Make the text files that the examples read.")
    parser.add_argument("directory", nargs="?", type=Path, default=DATA, metavar="DIR")
    parser.add_argument(
        "--large-mib",
        type=int,
        default=DEFAULT_MIB,
        metavar="N",
        help="size of each of the two large files (default: %(default)s MiB)",
    )
    arguments = parser.parse_args()
    if arguments.large_mib < 1:
        parser.error("--large-mib: at least 1")

    for name in (*SMALL, *LARGE):
        path = arguments.directory / name
        word = "made" if make_file(path, arguments.large_mib) else "kept"
        print(f"{word} {path} ({path.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()
