"""A server's entry made into what talks to it; the extra `pacs` is asked for here."""

from __future__ import annotations

from medimg.errors import UsageError
from medimg.pacs.query import Pacs
from medimg.pacs.servers import DicomWebServer, Server


def connect(server: Server) -> Pacs:
    """Raises UsageError when the extra `pacs` is not installed."""
    try:
        if isinstance(server, DicomWebServer):
            from medimg.pacs.dicomweb import DicomWeb

            return DicomWeb(server)
        from medimg.pacs.dimse import Dimse

        return Dimse(server)
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is needed to talk to a PACS; install medimg[pacs]") from error
