"""Every Python example does what it says, and says the same on both loops."""

from __future__ import annotations

import hashlib
import os
import re
import signal
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from examples_programs import EXAMPLES, complaints, run, serving, start
from support.loops import RONDEL, STDLIB, kinds

DATA = EXAMPLES.parent / "data"
README = EXAMPLES.parent / "README.md"


@cache
def output(program: str, kind: str) -> str:
    """What an example prints when it is run without arguments, from a directory not its own."""
    done = run(kind, program, cwd=Path("/"))
    assert done.returncode == 0, done.stderr
    assert complaints(done.stderr) == []
    return done.stdout


def same_every_time(program: str, text: str) -> list[str]:
    """The lines of an output without what may differ from run to run."""
    text = re.sub(r", resumed at [\d.]+ \w+", "", text)
    for changing in (
        r"(?<=process )\d+",
        r"(?<=127\.0\.0\.1:)\d+",
        r"\d+(\.\d+)?(?= (s\b|MiB|KiB|heartbeats|pieces of))",
    ):
        text = re.sub(changing, "*", text)
    lines = text.splitlines()
    # Threads, and downloads side by side, finish in any order.
    return sorted(lines) if program in {"threaded_download", "mirror"} else lines


def blocking_download(printed: str) -> None:
    size = (DATA / "example.txt").stat().st_size
    lines = same_every_time("blocking_download", printed)
    assert lines == [
        "Starting program",
        "Downloading file...",
        f"Download complete! {size} bytes",
        "Doing other work, * s late",
        "Program finished",
    ]


def threaded_download(printed: str) -> None:
    lines = printed.splitlines()
    size = (DATA / "example.txt").stat().st_size
    assert lines[0] == "Starting program"
    assert "Downloading file..." in lines
    work = lines.index("Doing other work while downloading...")
    assert work < lines.index(f"Download complete! {size} bytes")
    assert re.fullmatch(r"Program finished, with \d+ pieces of other work done", lines[-1])


def asyncio_download(printed: str) -> None:
    size = (DATA / "example.txt").stat().st_size
    assert same_every_time("asyncio_download", printed) == [
        "Starting program",
        "Doing other work while downloading...",
        "Downloading file...",
        f"Download complete! {size} bytes",
        "Program finished, with * pieces of other work done",
    ]
    assert int(re.findall(r"with (\d+) pieces", printed)[0]) > 1


def read_file(printed: str) -> None:
    content = (DATA / "example.txt").read_text()
    assert printed == f"Reading file asynchronously...\nFile contents: {content}"


def read_many_files(printed: str) -> None:
    names = ["file1.txt", "file2.txt", "file3.txt"]
    assert printed == "".join(f"Contents of {n}: {(DATA / n).read_text()}" for n in names)


def count_lines(printed: str) -> None:
    for name in ("large1.txt", "large2.txt"):
        lines = (DATA / name).read_bytes().count(b"\n")
        assert f"{name} has {lines} lines" in printed
    this, *workers = re.findall(r"process (\d+)", printed)
    assert len(workers) == 2
    assert this not in workers


def outgrow_one_machine(printed: str) -> None:
    assert printed == "6057 primes below 60000, counted in 12 parts\n"


def parallel_downloads(printed: str) -> None:
    first, second, same, *files = printed.splitlines()
    assert re.fullmatch(r"one after another: 4 downloads in [\d.]+ s, 1 at once", first)
    assert re.fullmatch(r"together: 4 downloads in [\d.]+ s, [234] at once", second)
    assert same == "same contents both ways: True"
    assert len(files) == 4


def blocking_and_async(printed: str) -> None:
    blocked, *free = [int(n) for n in re.findall(r"(\d+) heartbeats", printed)]
    assert blocked == 0
    assert len(free) == 3
    assert all(free)


def http_aiohttp(printed: str) -> None:
    assert printed.splitlines() == [
        "100 requests at once, every answer right: True",
        "uploaded 1048576 bytes, checksum right: True",
        "streamed lines: 1 4 9 16 25",
        "an error is an exception: 404 Not Found",
        "server and client closed",
    ]


def stream_file(printed: str) -> None:
    source = DATA / "large1.txt"
    assert f"streamed large1.txt: {source.stat().st_size} bytes" in printed
    assert f"sha256 {sha256(source)}\nthe copy is the same as the source" in printed


def mirror(printed: str) -> None:
    first, second = printed.split("Once more:")
    assert len(re.findall(r"^retry .*503 Service Unavailable$", first, re.MULTILINE)) == 5
    assert len(re.findall(r"^retry .*the connection ended too early$", first, re.MULTILINE)) == 5
    assert re.search(r"^fetched +large1.txt .*resumed at .*sha256 verified$", first, re.MULTILINE)
    assert "5 files: 5 fetched, 0 unchanged, 0 failed" in first
    assert "5 files: 0 fetched, 5 unchanged, 0 failed; 0 B in" in second


PROGRAMS: dict[str, Callable[[str], None]] = {
    judge.__name__: judge
    for judge in (
        blocking_download,
        threaded_download,
        asyncio_download,
        read_file,
        read_many_files,
        count_lines,
        outgrow_one_machine,
        parallel_downloads,
        blocking_and_async,
        http_aiohttp,
        stream_file,
        mirror,
    )
}
"""Each example, in the README's order, and the judge of its output."""

each_program = pytest.mark.parametrize(
    "program",
    [
        pytest.param(
            program,
            marks=pytest.mark.skipif(
                program in {"http_aiohttp", "mirror"} and find_spec("aiohttp") is None,
                reason="aiohttp is not installed here",
            ),
        )
        for program in PROGRAMS
    ],
)

PARTS = {"file_server", "http_get", "make_data"}
"""What the examples are made of; tested below, and by every example that uses it."""


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.parametrize("kind", kinds())
@each_program
def test_an_example_does_what_it_says_without_arguments_from_anywhere(
    program: str, kind: str
) -> None:
    PROGRAMS[program](output(program, kind))


@pytest.mark.skipif(RONDEL not in kinds(), reason="compares Rondel, which is not built here")
@each_program
def test_an_example_prints_the_same_on_both_loops(program: str) -> None:
    ours, theirs = (same_every_time(program, output(program, kind)) for kind in (RONDEL, STDLIB))
    assert ours == theirs


@pytest.mark.parametrize("kind", kinds())
def test_debug_mode_names_the_blocking_call(kind: str, tmp_path: Path) -> None:
    done = run(kind, "blocking_and_async", cwd=tmp_path)
    said = re.compile(r"Executing <Task .*main\(\).*blocking_and_async\.py.* took [\d.]+ seconds")
    assert any(said.match(line) for line in done.stderr.splitlines()), done.stderr


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("program", ["read_file", "read_many_files", "count_lines"])
def test_an_example_reads_the_files_it_is_given(program: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "given.txt").write_text("one\ntwo\nthree\n")
    done = run(kind, program, "given.txt", cwd=tmp_path)
    assert (done.returncode, complaints(done.stderr)) == (0, [])
    assert "given.txt has 3 lines" in done.stdout or "one\ntwo\nthree\n" in done.stdout


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("program", ["read_file", "read_many_files", "count_lines"])
def test_a_missing_file_ends_an_example_with_the_error_of_open(
    program: str, kind: str, tmp_path: Path
) -> None:
    done = run(kind, program, "missing.txt", cwd=tmp_path)
    assert done.returncode == 1
    assert "FileNotFoundError: [Errno 2] No such file or directory: 'missing.txt'" in done.stderr


@pytest.mark.parametrize("kind", kinds())
def test_counting_happens_in_processes_that_are_clean_and_gone_afterwards(
    kind: str, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{i}.txt" for i in range(6)]
    for i, path in enumerate(paths):
        path.write_text("line\n" * i)
    done = run(kind, "count_lines", *paths, cwd=tmp_path)
    assert (done.returncode, complaints(done.stderr)) == (0, [])
    assert [int(n) for n in re.findall(r"has (\d+) lines", done.stdout)] == list(range(6))
    for process in {int(n) for n in re.findall(r"process (\d+)", done.stdout)}:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


@pytest.mark.parametrize("kind", kinds())
def test_streaming_a_file_takes_memory_that_does_not_grow_with_it(
    kind: str, tmp_path: Path
) -> None:
    size = 192 * 2**20
    source, target = tmp_path / "source", tmp_path / "target"
    block = os.urandom(2**20)
    with source.open("wb") as file:
        for _ in range(size // len(block)):
            file.write(block)
    done = run(kind, "stream_file", source, target, cwd=tmp_path)
    assert (done.returncode, complaints(done.stderr)) == (0, [])
    assert sha256(target) == sha256(source)
    grown = re.search(r"grown by ([\d.]+) MiB for a file of 192.0 MiB", done.stdout)
    assert grown is not None
    assert float(grown[1]) < 24


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL], ids=lambda end: end.name)
def test_an_example_that_is_ended_halfway_leaves_no_server(
    kind: str, end: signal.Signals, tmp_path: Path
) -> None:
    with start(kind, "asyncio_download", cwd=tmp_path) as process:
        assert process.stdout is not None
        assert any(line == "Downloading file...\n" for line in process.stdout)
        process.send_signal(end)
        # The server shares these pipes: the end of them is the end of both.
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == -end
    assert stderr.endswith("KeyboardInterrupt\n" if end is signal.SIGINT else "")


def test_make_data_makes_what_is_missing_in_the_size_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for word, mib in (("made", 2), ("kept", 2)):
        done = run(STDLIB, "make_data", folder, "--large-mib", mib, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert [line.split()[0] for line in done.stdout.splitlines()] == [word] * 6
    done = run(STDLIB, "make_data", folder, "--large-mib", 1, cwd=tmp_path)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["kept"] * 4 + ["made"] * 2
    large = (folder / "large1.txt").read_text()
    assert len(large) == 2**20
    assert large.endswith("\n")
    assert run(STDLIB, "make_data", "--large-mib", 0, cwd=tmp_path).returncode == 2


def test_the_file_server_answers_what_the_examples_need(tmp_path: Path) -> None:
    from http.client import HTTPConnection

    (tmp_path / "file").write_bytes(b"0123456789")
    with serving(tmp_path) as server:
        connection = HTTPConnection(server.url.removeprefix("http://"))

        def ask(method: str = "GET", path: str = "/file", **headers: str) -> tuple[int, bytes, str]:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers=names)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers.get("Content-Range", "")

        connection.request("HEAD", "/file")
        head = connection.getresponse()
        assert (head.status, head.read(), head.headers["Content-Length"]) == (200, b"", "10")
        etag, modified = head.headers["ETag"], head.headers["Last-Modified"]

        assert ask() == (200, b"0123456789", "")
        assert ask(path="/none")[0] == 404
        assert ask(If_Modified_Since=modified) == (304, b"", "")
        assert ask(If_Modified_Since="nonsense") == (200, b"0123456789", "")
        assert ask(Range="bytes=4-") == (206, b"456789", "bytes 4-9/10")
        assert ask(Range="bytes=4-5") == (206, b"45", "bytes 4-5/10")
        assert ask(Range="bytes=4-99") == (206, b"456789", "bytes 4-9/10")
        assert ask(Range="bytes=-3") == (206, b"789", "bytes 7-9/10")
        assert ask(Range="bytes=10-") == (416, b"", "bytes */10")
        assert ask(Range="bytes=nonsense") == (200, b"0123456789", "")
        assert ask(Range="bytes=4-", If_Range=etag) == (206, b"456789", "bytes 4-9/10")
        assert ask(Range="bytes=4-", If_Range='"other"') == (200, b"0123456789", "")
        connection.close()


def test_every_python_example_is_tested_and_in_the_readme() -> None:
    files = {path.stem for path in EXAMPLES.glob("*.py")}
    assert files == PROGRAMS.keys() | PARTS
    commands = re.findall(r"`python -m rondel examples/python/(\w+)\.py`", README.read_text())
    assert commands == list(PROGRAMS)


def test_every_rust_example_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"`cargo run --release -p rondel --example (\w+)`", README.read_text()))
    assert named == {path.stem for path in (EXAMPLES.parent / "rust").glob("*.rs")}


def test_the_examples_import_nothing_of_rondel() -> None:
    for path in EXAMPLES.rglob("*.py"):
        assert not re.search(r"^\s*(import|from) rondel", path.read_text(), re.MULTILINE), path
