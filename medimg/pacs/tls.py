"""Certificates: whom we trust, and who we are."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from medimg.errors import UsageError


@dataclass(frozen=True)
class Tls:
    """ca: file of trusted certificates, the system's when empty. certificate, key: ours, where the peer asks."""

    ca: str = ""
    certificate: str = ""
    key: str = ""

    def context(self, purpose: ssl.Purpose) -> ssl.SSLContext:
        """TLS 1.2 or later (PS3.15 section B.9, BCP 195). As a client, the server's certificate is checked; as a
        server, a client's is asked for where `ca` is given.

        Raises UsageError when a file cannot be used; a key with a passphrase is one that cannot.
        """
        try:
            context = ssl.create_default_context(purpose, cafile=self.ca or None)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.certificate:
                context.load_cert_chain(self.certificate, self.key or None, password="")
        except OSError as error:
            named = ", ".join(filter(None, (self.ca, self.certificate, self.key)))
            message = f"cannot use the TLS files {named} ({error.strerror or error}); give PEM files without passphrase"
            raise UsageError(message) from error
        if purpose is ssl.Purpose.CLIENT_AUTH and self.ca:
            context.verify_mode = ssl.CERT_REQUIRED
        return context
