"""What servers are given: certificates, and paths for their sockets, in a folder that goes away."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self


class Materials:
    """A context manager; what it has given is gone afterwards."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="rondel-bench-")
        self._root = Path(self._folder.name)
        self._paths = 0
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._folder.cleanup()

    def new_path(self) -> str:
        """Return a path at which there is nothing yet."""
        self._paths += 1
        return str(self._root / f"{self._paths}.sock")

    def certificate(self) -> str:
        """Return a PEM file with a certificate for localhost, and its key."""
        self._certify()
        return str(self._root / "server.pem")

    def authority(self) -> str:
        """Return the certificate that signed it, as a DER file."""
        self._certify()
        return str(self._root / "authority.der")

    def _certify(self) -> None:
        if (self._root / "server.pem").exists():
            return
        import trustme

        authority = trustme.CA()
        pem = authority.cert_pem.bytes().decode()
        (self._root / "authority.der").write_bytes(ssl.PEM_cert_to_DER_cert(pem))
        certificate = authority.issue_cert("localhost")
        certificate.private_key_and_cert_chain_pem.write_to_path(str(self._root / "server.pem"))
