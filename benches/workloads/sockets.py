"""Servers that send back what they get, in all the ways that asyncio has."""

from __future__ import annotations

from benches.servers import protocols, streams
from benches.workload import LATENCY, Served

_SIZES = {64: "64 B", 1024: "1 KiB", 16 * 1024: "16 KiB", 128 * 1024: "128 KiB"}
_CONNECTIONS = (1, 64, 512)


def _echo(size: int, connections: int, framing: str = "none") -> tuple[str, ...]:
    return (
        "echo",
        *("--size", str(size)),
        *("--connections", str(connections)),
        *("--framing", framing),
    )


def _connections(count: int) -> str:
    return f"{count} connection{'s' * (count > 1)}"


def _named(name: str) -> str:
    return name.replace(" ", "").lower()


WORKLOADS = (
    *(
        Served(
            name=f"echo-{_named(size_name)}-{connections}",
            group="sockets",
            title=f"Protocol, {size_name}, {_connections(connections)}",
            server=protocols.tcp,
            load=_echo(size, connections),
            # While others use the machine, large messages take up to twice as long in every loop.
            samples=3 if size >= 16 * 1024 else 1,
        )
        for size, size_name in _SIZES.items()
        for connections in _CONNECTIONS
    ),
    Served(
        name="buffered",
        group="sockets",
        title="BufferedProtocol, 1 KiB, 64 connections",
        server=protocols.buffered,
        load=_echo(1024, 64),
    ),
    Served(
        name="readline",
        group="sockets",
        title="streams, readline, 64 B, 64 connections",
        server=streams.readline,
        load=_echo(64, 64, "line"),
    ),
    Served(
        name="readexactly",
        group="sockets",
        title="streams, readexactly, 1 KiB, 64 connections",
        server=streams.readexactly,
        load=_echo(1024, 64, "length"),
    ),
    Served(
        name="sock",
        group="sockets",
        title="sock_recv, sock_sendall, 1 KiB, 64 connections",
        server=streams.sock,
        load=_echo(1024, 64),
    ),
    Served(
        name="udp",
        group="sockets",
        title="UDP, 1 KiB, 64 sockets",
        server=protocols.udp,
        load=("udp", "--size", "1024", "--connections", "64"),
    ),
    Served(
        name="unix",
        group="sockets",
        title="unix socket, 1 KiB, 64 connections",
        server=protocols.unix,
        load=_echo(1024, 64),
        needs="path",
    ),
    *(
        Served(
            name=f"tls-{_named(_SIZES[size])}",
            group="sockets",
            title=f"TLS, {_SIZES[size]}, 64 connections",
            server=protocols.tls,
            load=_echo(size, 64),
            needs="certificate",
        )
        for size in (1024, 16 * 1024)
    ),
    Served(
        name="churn",
        group="sockets",
        title="connect, ask, close; 16 at once",
        server=protocols.tcp,
        load=("churn", "--size", "64", "--connections", "16"),
    ),
    Served(
        name="latency",
        group="latency",
        title="5,000 messages a second, 1 KiB, 64 connections",
        server=protocols.tcp,
        load=("paced", "--rate", "5000", "--size", "1024", "--connections", "64"),
        metrics=LATENCY,
    ),
)
