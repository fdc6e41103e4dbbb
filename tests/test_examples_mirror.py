"""The mirror application against a real server: nothing lost, nothing wrong, nothing in vain."""

from __future__ import annotations

import hashlib
import os
import pty
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from examples_programs import command as example_command
from examples_programs import complaints, run, serving, start
from examples_programs import environment as example_environment
from support.loops import kinds

pytest.importorskip("aiohttp", reason="mirror uses aiohttp, which is not installed here")

MIB = 2**20
FAST = ("--backoff", "0.01")


@pytest.fixture(params=kinds())
def kind(request: pytest.FixtureRequest) -> str:
    """Which loop mirror runs on."""
    kind: str = request.param
    return kind


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """A directory to serve: `big` is 8 MiB that compress badly, `small` a few bytes."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "big").write_bytes(random.Random(1).randbytes(8 * MIB))
    (folder / "small").write_bytes(b"small\n")
    return folder


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The directory to mirror into; mirror makes it."""
    return tmp_path / "saved"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def sum_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def mirror(kind: str, saved: Path, *arguments: object) -> str:
    """Run mirror, which must succeed; what it printed."""
    done = run(kind, "mirror", "--into", saved, *FAST, *arguments, cwd=saved.parent)
    assert (done.returncode, complaints(done.stderr)) == (0, []), done.stdout + done.stderr
    return done.stdout


def failing_mirror(kind: str, saved: Path, *arguments: object) -> str:
    """Run mirror, which must fail with exit code 1; what it said on stderr."""
    done = run(kind, "mirror", "--into", saved, *FAST, *arguments, cwd=saved.parent)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr


def test_files_arrive_whole_under_the_names_of_their_urls(
    kind: str, served: Path, saved: Path
) -> None:
    (served / "a b.txt").write_bytes(b"space")
    (served / "empty").write_bytes(b"")
    with serving(served) as server:
        urls = [f"{server.url}/{name}" for name in ("big", "small", "a%20b.txt", "empty")]
        said = mirror(kind, saved, *urls)
    assert contents(saved) == contents(served)
    assert "4 files: 4 fetched, 0 unchanged, 0 failed" in said


def test_a_name_is_no_way_out_of_the_folder(kind: str, served: Path, saved: Path) -> None:
    (served / "sub").mkdir()
    with serving(served) as server:
        mirror(kind, saved, f"{server.url}/sub/..%2Fsmall", f"{server.url}/big?to=../../x")
    assert sorted(contents(saved)) == [".._small", "big"]
    assert sorted(path.name for path in saved.parent.iterdir()) == ["saved", "served"]


def test_urls_come_from_lists_and_from_standard_input_too(
    kind: str, served: Path, saved: Path
) -> None:
    with serving(served) as server:
        names = saved.parent / "urls.txt"
        names.write_text(f"# comment\n\n  {server.url}/small  \n")
        done = run(
            kind, "mirror", "-d", saved, "-l", names, "-l", "-",
            cwd=saved.parent, stdin=f"{server.url}/big\n{server.url}/small\n",
        )  # fmt: skip
    assert done.returncode == 0
    assert sorted(contents(saved)) == ["big", "small"]


def test_the_limit_on_downloads_at_once_is_kept_and_used(
    kind: str, served: Path, saved: Path
) -> None:
    for i in range(12):
        (served / f"file{i}").write_bytes(b"content")
    # The server answers only when four requests are there: fewer at once would never be answered.
    with serving(served, "--meet", 4, "--delay", 0.1) as server:
        urls = [f"{server.url}/file{i}" for i in range(12)]
        mirror(kind, saved, "--jobs", 4, *urls)
        assert server.stats()["most_at_once"] == 4


def test_a_refusal_that_passes_is_tried_again(kind: str, served: Path, saved: Path) -> None:
    with serving(served, "--fail-first", 2) as server:
        said = mirror(kind, saved, "--retries", 2, f"{server.url}/small")
        assert server.statuses("/small") == [503, 503, 200]
    assert said.count("HTTP status 503 Service Unavailable") == 2
    assert contents(saved) == {"small": b"small\n"}


def test_the_pause_that_the_server_asks_for_is_made(kind: str, served: Path, saved: Path) -> None:
    with serving(served, "--fail-first", 1, "--retry-after", 1) as server:
        said = mirror(kind, saved, f"{server.url}/small")
    assert "in 1.0 s: HTTP status 503 Service Unavailable" in said


def test_retries_end(kind: str, served: Path, saved: Path) -> None:
    with serving(served, "--fail-first", 9) as server:
        said = failing_mirror(kind, saved, "--retries", 2, f"{server.url}/small")
        assert server.statuses("/small") == [503] * 3
    assert "failed     small  HTTP status 503 Service Unavailable (3 attempts)" in said
    assert contents(saved) == {}


def test_a_refusal_that_stays_is_not_tried_again_and_harms_no_other(
    kind: str, served: Path, saved: Path
) -> None:
    with serving(served) as server:
        said = failing_mirror(kind, saved, f"{server.url}/missing", f"{server.url}/small")
        assert server.statuses("/missing") == [404]
    assert "missing  HTTP status 404 Not Found" in said
    assert contents(saved) == {"small": b"small\n"}


def test_an_unreachable_server_is_a_failure_with_a_reason(kind: str, saved: Path) -> None:
    said = failing_mirror(kind, saved, "--retries", 1, "http://127.0.0.1:1/file")
    assert re.search(r"failed     file  .*127\.0\.0\.1.*\(2 attempts\)", said)


def test_a_cut_download_goes_on_where_it_stopped(kind: str, served: Path, saved: Path) -> None:
    with serving(served, "--cut-first", 1) as server:
        said = mirror(kind, saved, f"{server.url}/big#sha256={sum_of(served / 'big')}")
        first, second = server.requests("/big")
    assert (first["status"], first["range"]) == (200, None)
    assert second["status"] == 206
    assert 0 < int(second["range"].removeprefix("bytes=").removesuffix("-")) <= 4 * MIB
    assert "the connection ended too early" in said
    assert re.search(r"fetched    big  8\.0 MiB, resumed at .*, sha256 verified", said)
    assert sum_of(saved / "big") == sum_of(served / "big")
    assert sorted(contents(saved)) == ["big"]


def test_the_next_run_goes_on_too(kind: str, served: Path, saved: Path) -> None:
    with serving(served, "--cut-first", 1) as server:
        failing_mirror(kind, saved, "--retries", 0, f"{server.url}/big")
        assert sorted(contents(saved)) == ["big.part", "big.part.json"]
        come = (saved / "big.part").stat().st_size
        mirror(kind, saved, f"{server.url}/big")
        assert server.requests("/big")[-1]["range"] == f"bytes={come}-"
        assert server.statuses("/big") == [200, 206]
    assert contents(saved) == {"big": (served / "big").read_bytes()}


def test_a_file_that_changed_meanwhile_is_fetched_anew(
    kind: str, served: Path, saved: Path
) -> None:
    with serving(served, "--cut-first", 1) as server:
        failing_mirror(kind, saved, "--retries", 0, f"{server.url}/big")
        (served / "big").write_bytes(b"new" * MIB)
        mirror(kind, saved, f"{server.url}/big")
        last = server.requests("/big")[-1]
    assert last["range"] is not None
    assert last["if_range"] is not None
    assert last["status"] == 200
    assert contents(saved) == {"big": b"new" * MIB}


def test_a_server_without_ranges_sends_it_all_again(kind: str, served: Path, saved: Path) -> None:
    with serving(served, "--cut-first", 1, "--no-ranges") as server:
        mirror(kind, saved, f"{server.url}/big")
        assert server.statuses("/big") == [200, 200]
    assert contents(saved) == {"big": (served / "big").read_bytes()}


def test_a_part_that_is_too_long_is_thrown_away(kind: str, served: Path, saved: Path) -> None:
    with serving(served, "--cut-first", 1) as server:
        failing_mirror(kind, saved, "--retries", 0, f"{server.url}/big")
        with (saved / "big.part").open("ab") as part:
            part.write(bytes(8 * MIB))
        mirror(kind, saved, f"{server.url}/big")
        assert server.statuses("/big") == [200, 416, 200]
    assert contents(saved) == {"big": (served / "big").read_bytes()}


def test_a_part_that_was_spoilt_is_noticed_by_its_checksum(
    kind: str, served: Path, saved: Path
) -> None:
    with serving(served, "--cut-first", 1) as server:
        url = f"{server.url}/big#sha256={sum_of(served / 'big')}"
        failing_mirror(kind, saved, "--retries", 0, url)
        with (saved / "big.part").open("r+b") as part:
            part.write(bytes(16))
        said = mirror(kind, saved, url)
        assert server.statuses("/big") == [200, 206, 200]
    assert "wrong checksum" in said
    assert contents(saved) == {"big": (served / "big").read_bytes()}


@pytest.mark.parametrize("note", ["", "[]", '{"url": "http://elsewhere/", "etag": "\\"x\\""}'])
def test_a_part_of_unknown_origin_is_not_built_upon(
    note: str, kind: str, served: Path, saved: Path
) -> None:
    saved.mkdir()
    (saved / "small.part").write_bytes(b"foreign")
    (saved / "small.part.json").write_text(note)
    with serving(served) as server:
        mirror(kind, saved, f"{server.url}/small")
        assert server.requests("/small")[0]["range"] is None
    assert contents(saved) == {"small": b"small\n"}


def test_a_wrong_checksum_is_a_failure_and_leaves_nothing(
    kind: str, served: Path, saved: Path
) -> None:
    with serving(served) as server:
        said = failing_mirror(kind, saved, f"{server.url}/small#sha256={'0' * 64}")
        assert server.statuses("/small") == [200]
    assert f"wrong checksum: sha256 {sum_of(served / 'small')}, not {'0' * 64}" in said
    assert contents(saved) == {}


def test_a_server_that_never_answers_is_given_up(kind: str, served: Path, saved: Path) -> None:
    with serving(served, "--delay", 600) as server:
        said = failing_mirror(kind, saved, "--timeout", 0.2, "--retries", 1, f"{server.url}/small")
    assert "failed     small  the server is silent (2 attempts)" in said


def test_a_server_that_falls_silent_is_left_and_asked_for_the_rest(
    kind: str, served: Path, saved: Path
) -> None:
    with serving(served, "--stall-first", 1) as server:
        said = mirror(kind, saved, "--timeout", 0.5, f"{server.url}/big")
        assert server.requests("/big")[1]["range"] == f"bytes={4 * MIB}-"
    assert "the server is silent" in said
    assert contents(saved) == {"big": (served / "big").read_bytes()}


def test_what_is_up_to_date_is_not_fetched_again(kind: str, served: Path, saved: Path) -> None:
    with serving(served) as server:
        urls = [f"{server.url}/small", f"{server.url}/big#sha256={sum_of(served / 'big')}"]
        mirror(kind, saved, *urls)
        said = mirror(kind, saved, *urls)
        assert server.statuses("/small") == [200, 304]
        assert server.statuses("/big") == [200]
        assert "2 files: 0 fetched, 2 unchanged, 0 failed; 0 B in" in said

        later = time.time() + 60
        (served / "small").write_bytes(b"newer\n")
        os.utime(served / "small", (later, later))
        (saved / "big").write_bytes(b"spoilt")
        mirror(kind, saved, *urls)
    assert contents(saved) == contents(served)


def test_ctrl_c_leaves_a_part_to_go_on_with_and_no_final_file(
    kind: str, served: Path, saved: Path
) -> None:
    with serving(served, "--stall-first", 1) as server:
        arguments = ("--into", saved, f"{server.url}/big")
        with start(kind, "mirror", *arguments, cwd=saved.parent) as process:
            part = saved / "big.part"
            wait_until_size(part, 4 * MIB)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
        assert process.returncode == 130
        assert complaints(said) == ["stopped; the same command goes on from here"]
        assert sorted(contents(saved)) == ["big.part", "big.part.json"]

        mirror(kind, saved, f"{server.url}/big")
        assert server.requests("/big")[-1]["range"] == f"bytes={4 * MIB}-"
    assert contents(saved) == {"big": (served / "big").read_bytes()}


def wait_until_size(path: Path, size: int) -> None:
    """Wait for another process to have written that much."""
    deadline = time.monotonic() + 30
    while not (path.exists() and path.stat().st_size >= size):
        assert time.monotonic() < deadline, f"{path} did not grow to {size} bytes"
        time.sleep(0.01)


def test_a_terminal_shows_a_live_bar_and_a_pipe_plain_lines(
    kind: str, served: Path, saved: Path
) -> None:
    with serving(served, "--cut-first", 1, "--delay", 0.3) as server:
        url = f"{server.url}/big"
        ours, theirs = pty.openpty()
        try:
            process = subprocess.Popen(
                example_command(kind, "mirror", "--into", saved, url),
                env={**example_environment(), "COLUMNS": "80"},
                stdout=theirs,
                stderr=theirs,
            )
            os.close(theirs)
            shown = read_terminal(ours)
            assert process.wait(timeout=30) == 0
        finally:
            os.close(ours)
    assert "\r\x1b[K[" in shown
    assert re.search(r"\[#*-*\] 0/1 files  .* of 8\.0 MiB", shown)
    assert re.search(r"\r\x1b\[Kfetched    big  8\.0 MiB, resumed", shown)
    assert all(len(drawn) < 80 for drawn in re.findall(r"\x1b\[K(\[[^\r\n]*)", shown))


def read_terminal(descriptor: int) -> str:
    """What a program shows until it leaves the terminal."""
    shown = b""
    while True:
        try:
            block = os.read(descriptor, 65536)
        except OSError:  # Linux says EIO when the last one has left
            return shown.decode()
        if not block:
            return shown.decode()
        shown += block


def test_quiet_says_only_what_failed(kind: str, served: Path, saved: Path) -> None:
    with serving(served) as server:
        assert mirror(kind, saved, "--quiet", f"{server.url}/small") == ""
        done = run(kind, "mirror", "-q", "-d", saved, f"{server.url}/none", cwd=saved.parent)
    assert (done.returncode, done.stdout) == (1, "")
    assert complaints(done.stderr) == ["failed     none  HTTP status 404 Not Found"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--quiet"], "no URLs given"),
        (["ftp://host/file"], "not an http or https URL: ftp://host/file"),
        (["http:///file"], "not an http or https URL"),
        (["http://host/\udcff"], "not a URL"),
        (["http://host/file#sha256=123"], "not a SHA-256 sum of 64 hexadecimal digits"),
        (["http://a/file", "http://b/file"], "would be saved under the same name"),
        (["http://a/file", "http://a/file.part"], "would be saved under the same name"),
        (["--list", "missing.txt"], "No such file or directory: 'missing.txt'"),
        (["--jobs", "0", "http://host/"], "argument -j/--jobs: must be at least 1"),
        (["--retries", "-1", "http://host/"], "argument -r/--retries: must not be negative"),
        (["--timeout", "nan", "http://host/"], "argument -t/--timeout: invalid positive value"),
        (["--backoff", "0", "http://host/"], "argument --backoff: invalid positive value"),
    ],
)
def test_bad_usage_is_told_in_one_line_and_exit_code_2(
    arguments: list[str], reason: str, tmp_path: Path
) -> None:
    done = run(kinds()[-1], "mirror", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    usage, error = done.stderr.rsplit("mirror.py: error: ", 1)
    assert usage.startswith("usage: mirror.py")
    assert reason in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_explains_the_exit_codes(tmp_path: Path) -> None:
    done = run(kinds()[-1], "mirror", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "exit codes: 0 all files are there; 1 some failed; 2 bad usage" in done.stdout
