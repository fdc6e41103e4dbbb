"""Load for HTTP servers: wrk where it is installed, a generator of our own where it is not."""

from __future__ import annotations

import re
import selectors
import shutil
import socket
import subprocess
from dataclasses import dataclass


@dataclass
class Report:
    """How many requests were answered well, and what went wrong with the others."""

    answered: int
    errors: list[str]


def load(host: str, port: int, requests: int, *, connections: int = 32) -> Report:
    """Send at least so many GET requests over connections that are kept alive."""
    wrk = shutil.which("wrk")
    if wrk is not None:
        return load_by_wrk(wrk, host, port, requests, connections)
    return load_by_sockets(host, port, requests, connections)


def load_by_wrk(wrk: str, host: str, port: int, requests: int, connections: int) -> Report:
    """Run wrk for a second or a few at a time until there are enough answers."""
    report = Report(0, [])
    seconds = 1 if requests < 10_000 else 4
    while report.answered < requests and not report.errors:
        done = subprocess.run(
            [wrk, "-t2", f"-c{connections}", f"-d{seconds}s", f"http://{host}:{port}/"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        counted = re.search(r"(\d+) requests in", done.stdout)
        assert counted is not None, done.stdout
        report.answered += int(counted[1])
        report.errors += re.findall(r"Socket errors: .*|Non-2xx.*", done.stdout)
        assert int(counted[1]) > 0, "no request was answered"
    return report


class Connection:
    """One keep-alive connection: a request at a time."""

    REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n"

    def __init__(self, host: str, port: int) -> None:
        self.sock = socket.create_connection((host, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = bytearray()

    def ask(self) -> None:
        """Send a request; it is small enough for the socket to take it whole."""
        self.sock.sendall(self.REQUEST)

    def answer(self) -> str | None:
        """Receive; the status line once a response is complete, else None."""
        data = self.sock.recv(65536)
        if not data:
            return "closed by the server"
        self.received += data
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator:
            return None
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        if length is None:
            return "a response without a length"
        if len(body) < int(length[1]):
            return None
        if len(body) > int(length[1]):
            return "a response longer than it says"
        self.received.clear()
        return bytes(head.split(b"\r\n", 1)[0]).decode()


def load_by_sockets(host: str, port: int, requests: int, connections: int) -> Report:
    """Ask over all connections at once, a request at a time on each."""
    report = Report(0, [])
    pool = [Connection(host, port) for _ in range(min(connections, requests))]
    left = requests
    with selectors.DefaultSelector() as selector:
        for connection in pool:
            selector.register(connection.sock, selectors.EVENT_READ, connection)
            connection.ask()
            left -= 1
        while report.answered + len(report.errors) < requests:
            ready = selector.select(timeout=30)
            if not ready:
                report.errors.append("no answer for half a minute")
                break
            for key, _ in ready:
                status = key.data.answer()
                if status is None:
                    continue
                if status.startswith("HTTP/1.1 200"):
                    report.answered += 1
                    if left > 0:
                        key.data.ask()
                        left -= 1
                else:
                    report.errors.append(status)
                    selector.unregister(key.fileobj)
    for connection in pool:
        connection.sock.close()
    return report
