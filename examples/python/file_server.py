"""A small HTTP server of files, for the examples to download from: `file_server.py DIR`.

It knows HEAD, ETag, Last-Modified, If-Modified-Since, Range and If-Range, and prints its port on
the first line. It can be slow (`--delay`) and it can fail in the ways that real servers do, once or
several times for each file: refuse (`--fail-first`), cut the connection (`--cut-first`) or fall
silent (`--stall-first`) in the middle of the body. `/-/stats` answers, as JSON, what was asked.

It is threads and blocking sockets on purpose: what the examples talk to is no event loop.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

STATS = "/-/stats"
BLOCK = 256 * 1024


@contextmanager
def serving(directory: Path, *options: str) -> Iterator[str]:
    """Serve `directory` from a process of its own; yield the base URL; stop it in the end."""
    command = [sys.executable, __file__, str(directory), "--while-stdin-open", *options]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            port = server.stdout.readline().strip()
            if not port:
                raise RuntimeError("the file server did not start")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.stdin.close()


class FileServer(ThreadingHTTPServer):
    """The listening socket, the faults still to be made, and the record of what was asked."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(("127.0.0.1", options.port), FileRequest)
        self.options = options
        self.faults = ["fail"] * options.fail_first
        self.faults += ["cut"] * options.cut_first + ["stall"] * options.stall_first
        self.meeting = threading.Barrier(options.meet) if options.meet else None
        self.lock = threading.Lock()
        self.seen: Counter[str] = Counter()
        self.requests: list[dict[str, Any]] = []
        self.open_now = self.most_at_once = 0

    def enter(self, path: str) -> str | None:
        """Count a request in; return the fault that it shall meet."""
        with self.lock:
            number = self.seen[path]
            self.seen[path] += 1
            self.open_now += 1
            self.most_at_once = max(self.most_at_once, self.open_now)
        return self.faults[number] if number < len(self.faults) else None

    def leave(self) -> None:
        """Count a request out."""
        with self.lock:
            self.open_now -= 1

    def record(self, **request: Any) -> None:
        """Remember an answer, before it is sent."""
        with self.lock:
            self.requests.append(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report what goes wrong, unless it is a client that leaves: that is its right."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def stats(self) -> bytes:
        """What was asked until now, as JSON."""
        with self.lock:
            report = {"most_at_once": self.most_at_once, "requests": self.requests}
            return json.dumps(report).encode()


class FileRequest(SimpleHTTPRequestHandler):
    """One connection; one `do_GET` or `do_HEAD` for each request on it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FileServer

    def __init__(self, request: Any, address: Any, server: FileServer) -> None:
        super().__init__(request, address, server, directory=str(server.options.directory))

    def log_message(self, *_: object) -> None:
        """Keep quiet: stdout is for the port."""

    def do_GET(self) -> None:
        """Answer, with a delay and a fault where they are asked for."""
        if self.path == STATS:
            self.answer(HTTPStatus.OK, self.server.stats())
            return
        fault = self.server.enter(self.path)
        try:
            if self.server.meeting is not None:
                self.server.meeting.wait(timeout=30)
            time.sleep(self.server.options.delay)
            if fault == "fail":
                pause = self.server.options.retry_after
                headers = {"Retry-After": str(pause)} if pause else {}
                self.answer(HTTPStatus.SERVICE_UNAVAILABLE, headers=headers)
            else:
                self.send_file(fault)
        except (OSError, threading.BrokenBarrierError):  # the client has left
            self.close_connection = True
        finally:
            self.server.leave()

    def do_HEAD(self) -> None:
        """Answer as to GET, without the body."""
        self.do_GET()

    def answer(
        self, status: HTTPStatus, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        """Send a whole answer that is not a file."""
        self.record(status)
        self.start(status, len(body), headers or {})
        if self.command != "HEAD":
            self.wfile.write(body)

    def start(self, status: HTTPStatus, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def record(self, status: HTTPStatus) -> None:
        if self.path != STATS:
            self.server.record(
                method=self.command,
                path=self.path,
                status=status.value,
                range=self.headers["Range"],
                if_range=self.headers["If-Range"],
            )

    def send_file(self, fault: str | None) -> None:
        """Send the file that the path names, or the part of it that was asked for."""
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.answer(HTTPStatus.NOT_FOUND, b"no such file\n")
            return
        with path.open("rb") as file:
            info = os.fstat(file.fileno())
            size = info.st_size
            etag = f'"{info.st_mtime_ns:x}-{size:x}"'
            headers = {
                "Accept-Ranges": "bytes",
                "ETag": etag,
                "Last-Modified": self.date_time_string(int(info.st_mtime)),
            }
            if self.not_modified(int(info.st_mtime)):
                self.answer(HTTPStatus.NOT_MODIFIED, headers=headers)
                return
            status, first, length = HTTPStatus.OK, 0, size
            wanted = self.wanted_range(etag, size)
            if wanted is not None:
                first, length = wanted
                if length <= 0:
                    self.answer(
                        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                        headers={"Content-Range": f"bytes */{size}"},
                    )
                    return
                status = HTTPStatus.PARTIAL_CONTENT
                headers["Content-Range"] = f"bytes {first}-{first + length - 1}/{size}"
            self.record(status)
            self.start(status, length, headers)
            if self.command != "HEAD":
                file.seek(first)
                self.send_body(file, length, fault)

    def not_modified(self, modified: int) -> bool:
        since = self.headers["If-Modified-Since"]
        try:
            return since is not None and parsedate_to_datetime(since).timestamp() >= modified
        except ValueError:
            return False

    def wanted_range(self, etag: str, size: int) -> tuple[int, int] | None:
        """First byte and length of the one range asked for; `None` for the whole file."""
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers["Range"] or "")
        if not asked or asked[0] == "bytes=-" or self.server.options.no_ranges:
            return None
        if self.headers["If-Range"] not in (None, etag):
            return None
        if not asked[1]:
            length = min(int(asked[2]), size)
            return size - length, length
        first = int(asked[1])
        last = min(int(asked[2]), size - 1) if asked[2] else size - 1
        return first, last - first + 1

    def send_body(self, file: BinaryIO, length: int, fault: str | None) -> None:
        """Send `length` bytes; with a fault, only the first half of them."""
        rest = length // 2 if fault else length
        while rest > 0 and (block := file.read(min(rest, BLOCK))):
            self.wfile.write(block)
            rest -= len(block)
        if fault == "stall":
            self.connection.recv(1)  # returns when the client gives up
        if fault:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Serve the files of a directory on loopback.")
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--port", type=int, default=0, help="0: any free one (the default)")
    parser.add_argument(
        "--delay",
        type=float,
        default=0,
        metavar="S",
        help="wait this many seconds before each answer",
    )
    parser.add_argument(
        "--fail-first",
        type=int,
        default=0,
        metavar="N",
        help="answer 503 to the first N requests of each path",
    )
    parser.add_argument(
        "--retry-after", type=int, metavar="S", help="say in the 503 to wait S seconds"
    )
    parser.add_argument(
        "--cut-first",
        type=int,
        default=0,
        metavar="N",
        help="close the connection halfway in the next N of each path",
    )
    parser.add_argument(
        "--stall-first",
        type=int,
        default=0,
        metavar="N",
        help="fall silent halfway in the next N of each path",
    )
    parser.add_argument(
        "--meet",
        type=int,
        default=0,
        metavar="N",
        help="answer only when N requests are there together",
    )
    parser.add_argument("--no-ranges", action="store_true", help="always send whole files")
    parser.add_argument(
        "--while-stdin-open",
        action="store_true",
        help="end with whoever holds the other end of standard input",
    )
    return parser.parse_args()


def main() -> None:
    """Serve until Ctrl-C, or until standard input ends."""
    options = parse_arguments()
    with FileServer(options) as server:
        print(server.server_address[1], flush=True)
        if options.while_stdin_open:
            # Ctrl-C reaches the whole process group: the owner decides when the server ends.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            sys.stdin.read()
            server.shutdown()
        else:
            print(f"serving {options.directory}; Ctrl-C ends it", flush=True)
            with suppress(KeyboardInterrupt):
                server.serve_forever()


if __name__ == "__main__":
    main()
