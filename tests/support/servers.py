"""Real database servers, started for a test run in a folder of their own and gone with it.

They listen on 127.0.0.1 and on a unix socket, with and without TLS, and end when the test run
ends, however it ends.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from support.certificates import Certificates
from support.leaks import eventually
from support.net import free_port
from support.required import program

PATIENCE = 60.0
"""Seconds that a server may take to start or to stop."""
TRIES = 5
"""Free ports to try: another process may take one before the server does."""

Command = list[str]


class Redis(NamedTuple):
    """Where a Redis server listens."""

    path: str
    port: int
    tls_port: int


class PostgreSQL(NamedTuple):
    """Where a PostgreSQL server listens, and who may log in: over TCP with the password only."""

    folder: str
    """Of its unix socket, the name of which comes from the port."""
    port: int
    user: str
    password: str
    database: str


@contextmanager
def redis(certificates: Certificates) -> Iterator[Redis]:
    """A Redis server that keeps nothing."""
    executable = program("redis-server", package="redis-server")
    with folder_of("redis", None) as folder:
        path = folder / "redis.sock"
        tls_port = 0

        def command(port: int) -> Command:
            nonlocal tls_port
            tls_port = free_port()  # at each try another
            options = {
                "bind": "127.0.0.1",
                "port": port,
                "tls-port": tls_port,
                "tls-cert-file": certificates.certificate,
                "tls-key-file": certificates.certificate,
                "tls-auth-clients": "no",
                "unixsocket": path,
                "save": "",
                "appendonly": "no",
                "dir": folder,
            }
            words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
            return [*run_by(None, dies_by="TERM"), str(executable), *words]

        with running(command, folder, ready="Ready to accept connections") as port:
            yield Redis(str(path), port, tls_port)


@contextmanager
def postgresql(certificates: Certificates) -> Iterator[PostgreSQL]:
    """A PostgreSQL server with an empty database that need not survive a power cut."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)  # Debian's
    initdb = program("initdb", package="postgresql", folders=folders)
    executable = program("postgres", package="postgresql", folders=folders)
    user = unprivileged_user()
    with folder_of("postgresql", user) as folder:
        password, secret = folder / "password", folder / "server.pem"
        password.write_text(secrets.token_hex())
        shutil.copyfile(certificates.certificate, secret)
        for file in (password, secret):
            file.chmod(0o600)
            give_to(user, file)
        making = [
            *(str(initdb), "--pgdata=data", "--username=rondel", "--pwfile=password", "--no-sync"),
            *("--encoding=UTF8", "--locale=C", "--auth-local=trust", "--auth-host=scram-sha-256"),
        ]
        made = subprocess.run(
            [*run_by(user), *making], cwd=folder, capture_output=True, text=True, check=False
        )
        if made.returncode != 0:
            raise RuntimeError(f"initdb failed:\n{made.stdout}{made.stderr}")

        def command(port: int) -> Command:
            settings = {
                "listen_addresses": "127.0.0.1",
                "port": port,
                "unix_socket_directories": folder,
                "ssl": "on",
                "ssl_cert_file": secret,
                "ssl_key_file": secret,
                "fsync": "off",
            }
            words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
            return [*run_by(user, dies_by="INT"), str(executable), "-D", "data", *words]

        ready = "database system is ready to accept connections"
        with running(command, folder, ready=ready) as port:
            yield PostgreSQL(str(folder), port, "rondel", password.read_text(), "postgres")


@contextmanager
def running(command_on: Callable[[int], Command], folder: Path, *, ready: str) -> Iterator[int]:
    """Run a server until the context ends, on a free port, which it yields."""
    log = folder / "log.txt"
    for _ in range(TRIES):
        port = free_port()
        with log.open("wb") as output:
            process = subprocess.Popen(
                command_on(port),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, "LC_ALL": "C"},
                start_new_session=True,  # Ctrl-C is for the test run, which then ends the server
            )
        if is_ready(process, log, ready):
            break
    else:
        raise RuntimeError(f"the server did not start:\n{log.read_text()}")
    try:
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)


def is_ready(process: subprocess.Popen[bytes], log: Path, ready: str) -> bool:
    """Whether the server came to say ``ready`` in its log; if not, it has ended."""
    eventually(lambda: ready in log.read_text() or process.poll() is not None, within=PATIENCE)
    if ready in log.read_text():
        return True
    process.kill()
    process.wait()
    return False


@contextmanager
def folder_of(name: str, user: str | None) -> Iterator[Path]:
    """A temporary folder that belongs to ``user``, with a path short enough for a unix socket."""
    folder = Path(tempfile.mkdtemp(prefix=f"rondel-{name}-"))
    try:
        give_to(user, folder)
        yield folder
    finally:
        shutil.rmtree(folder)


def unprivileged_user() -> str | None:
    """Whom a server that refuses to run as root runs as; None for whom the tests run as."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def give_to(user: str | None, path: Path) -> None:
    """Change the owner of ``path``."""
    if user is not None:
        shutil.chown(path, user, pwd.getpwnam(user).pw_gid)


def run_by(user: str | None, *, dies_by: str | None = None) -> Command:
    """How a command begins that ``user`` runs and that gets a signal when its parent dies."""
    command = [str(program("setpriv", package="util-linux"))]
    if dies_by is not None:
        command.append(f"--pdeathsig={dies_by}")
    if user is not None:
        group = pwd.getpwnam(user).pw_gid
        command += [f"--reuid={user}", f"--regid={group}", "--clear-groups"]
    return command if len(command) > 1 else []
