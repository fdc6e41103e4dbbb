"""Run every example on Rondel, in Python and in Rust, each with its output and wall time.

The end is a comparison of asyncio on Rondel with threads and processes. The first program that
fails ends the demo, with its exit code.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / "examples" / "python"
RUST = ROOT / "examples" / "rust"
WIDTH = 100

# In the order in which they explain each other; most are there in both languages.
EXAMPLES = (
    "blocking_download",
    "threaded_download",
    "asyncio_download",
    "read_file",
    "read_many_files",
    "count_lines",
    "outgrow_one_machine",
    "parallel_downloads",
    "blocking_and_async",
    "http_aiohttp",
    "http_hyper",
    "stream_file",
    "mirror",
)


def run(title: str, *command: str) -> None:
    """Run ``command`` under a header, and print its wall time; exit with its code if it fails."""
    print(f"\n── {title} ".ljust(WIDTH, "─"), flush=True)
    started = time.perf_counter()
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code:
        print(f"\n{title} failed with exit code {code}", file=sys.stderr)
        sys.exit(code if code > 0 else 128 - code)
    print(f"[{time.perf_counter() - started:.2f} s]", flush=True)


def main() -> None:
    """Make the data, build the Rust examples, run all, and compare."""
    started = time.perf_counter()
    rondel = (sys.executable, "-m", "rondel")
    cargo = ("--quiet", "--locked", "--release", "--package", "rondel")
    python = [name for name in EXAMPLES if (PYTHON / f"{name}.py").exists()]
    rust = [name for name in EXAMPLES if (RUST / f"{name}.rs").exists()]
    if lost := set(EXAMPLES).difference(python, rust):
        sys.exit(f"there is no example {', '.join(lost)}")

    run(
        "data for the examples",
        sys.executable,
        str(PYTHON / "make_data.py"),
        str(PYTHON.parent / "data"),
    )
    for name in python:
        run(f"{name}, in Python", *rondel, str((PYTHON / f"{name}.py").relative_to(ROOT)))
    run("building the Rust examples", "cargo", "build", *cargo, "--examples")
    for name in rust:
        run(f"{name}, in Rust", "cargo", "run", *cargo, "--example", name)
    run("asyncio, threads and processes compared", *rondel, "compare")
    seconds = time.perf_counter() - started
    print(f"\n{len(python)} Python and {len(rust)} Rust examples ran, in {seconds:.0f} s.")


if __name__ == "__main__":
    main()
