"""TLS: asyncio's protocol and transport for it, with native code for what runs per record."""

from __future__ import annotations

import asyncio
from typing import Any

from rondel import _rondel, cpython

__all__ = ["SSLProtocol", "SSLTransport"]


class SSLTransport(cpython.SSLTransport):  # type: ignore[misc]
    """What a protocol writes to; see asyncio's "Transports and Protocols"."""

    def write(self, data: Any) -> None:
        """Encrypt and send bytes; TypeError for what is no bytes-like object."""
        # Not of a subclass, nor what the caller may change.
        if type(data) is bytes and self._ssl_protocol is not None:
            self._ssl_protocol._write_bytes(data)
        else:
            super().write(data)


class SSLProtocol(_rondel.SSLProtocol, cpython.SSLProtocol):  # type: ignore[misc]
    """What stands between the transport of a socket and a protocol that is to speak TLS."""

    _app_transport: Any
    _app_transport_created: bool

    def __init__(self, *args: Any, **options: Any) -> None:
        # asyncio begins with a buffer of this size for each connection, 256 KiB; a transport of
        # ours needs none, and for any other get_buffer() makes it.
        self.max_size = 0
        super().__init__(*args, **options)
        del self.max_size

    def _get_app_transport(self) -> Any:
        if self._app_transport is None and not self._app_transport_created:
            self._app_transport = SSLTransport(self._loop, self)
            self._app_transport_created = True
        return super()._get_app_transport()

    def _take_from_reader_of(self, protocol: Any) -> None:
        """Take over what a client has sent ahead of its turn, and a stream has received.

        It is the beginning of a handshake, not text that may be read unencrypted (gh-142352,
        which not every Python has).
        """
        if isinstance(protocol, asyncio.StreamReaderProtocol):
            # None as well if a subclass has not called __init__.
            reader = getattr(protocol, "_stream_reader", None)
            if reader is not None and reader._buffer:
                self._incoming.write(reader._buffer)
                reader._buffer.clear()
