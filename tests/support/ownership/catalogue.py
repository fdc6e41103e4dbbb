"""All operations, by name."""

from __future__ import annotations

from support.ownership import connections, others, servers, sock_calls, streams, transports
from support.ownership.rounds import Operation

OPERATIONS = {
    value.name: value
    for module in (connections, others, servers, sock_calls, streams, transports)
    for value in vars(module).values()
    if isinstance(value, Operation)
}
