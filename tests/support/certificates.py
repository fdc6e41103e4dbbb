"""Certificates made at test time."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


class Certificates:
    """A throw-away authority and the TLS contexts of a server and of a client that trusts it."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", "127.0.0.1")
        self.authority = folder / "authority.pem"
        self.certificate = folder / "localhost.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        issued.private_key_and_cert_chain_pem.write_to_path(str(self.certificate))

    def server_context(self) -> ssl.SSLContext:
        """A context that presents the certificate for localhost."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(self.certificate))
        return context

    def client_context(self) -> ssl.SSLContext:
        """A context that trusts the authority and checks the host name."""
        return ssl.create_default_context(cafile=str(self.authority))
