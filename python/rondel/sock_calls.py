"""The `sock_*` methods that send, receive and accept.

They stay coroutine functions, as in asyncio; what they do is native, and is tried at once. If it
would block, it is tried again in the step of the task that called, when the socket is ready: a
caller that is cancelled has taken nothing out of the socket.
"""

from __future__ import annotations

import socket
from typing import Any

from rondel._rondel import LoopCore, SockCall
from rondel.cpython import SelectorLoop

__all__ = ["SockCalls"]


class SockCalls(LoopCore, SelectorLoop):
    """A selector loop whose `sock_*` methods are native.

    Each raises what the socket's method of the name does, TypeError for an `ssl.SSLSocket` and, in
    debug mode, ValueError for a blocking socket.
    """

    async def sock_recv(self, sock: socket.socket, n: int) -> bytes:
        """Receive up to `n` bytes; none at the end of the stream."""
        result = self._recv(sock, n)
        return await result if type(result) is SockCall else result

    async def sock_recv_into(self, sock: socket.socket, buf: Any) -> int:
        """Receive into a writable buffer; return how many bytes came."""
        result = self._recv_into(sock, buf)
        return await result if type(result) is SockCall else result

    async def sock_recvfrom(self, sock: socket.socket, bufsize: int) -> tuple[bytes, Any]:
        """Receive a datagram of up to `bufsize` bytes; return it and its sender's address."""
        result = self._recvfrom(sock, bufsize)
        return await result if type(result) is SockCall else result

    async def sock_recvfrom_into(
        self, sock: socket.socket, buf: Any, nbytes: int = 0
    ) -> tuple[int, Any]:
        """Receive a datagram of up to `nbytes`, or as the buffer takes, into a writable buffer.

        Return its size and its sender's address.
        """
        result = self._recvfrom_into(sock, buf, nbytes)
        return await result if type(result) is SockCall else result

    async def sock_sendall(self, sock: socket.socket, data: Any) -> None:
        """Send all of the data. If it fails or is cancelled, some may have been sent."""
        result = self._sendall(sock, data)
        if type(result) is SockCall:
            await result

    async def sock_sendto(self, sock: socket.socket, data: Any, address: Any) -> int:
        """Send a datagram to an address; return how many bytes were sent."""
        result = self._sendto(sock, data, address)
        return await result if type(result) is SockCall else result

    async def sock_accept(self, sock: socket.socket) -> tuple[socket.socket, Any]:
        """Accept a connection; return its non-blocking socket and its peer's address."""
        result = self._accept(sock)
        return await result if type(result) is SockCall else result
