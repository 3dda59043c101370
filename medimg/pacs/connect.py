"""A server's entry made into what talks to it; the extra `pacs` is asked for here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from medimg.errors import UsageError
from medimg.pacs.query import Pacs
from medimg.pacs.servers import DicomWebServer, Server, load_server


def pacs_named(name: str) -> Pacs:
    """The server of that name in the file of servers. Raises UsageError when it cannot be used."""
    return connect(load_server(name))


def connect(server: Server) -> Pacs:
    """Raises UsageError when the extra `pacs` is not installed."""
    with extra_needed():
        if isinstance(server, DicomWebServer):
            from medimg.pacs.dicomweb import DicomWeb

            return DicomWeb(server)
        from medimg.pacs.dimse import Dimse

        return Dimse(server)


@contextlib.contextmanager
def extra_needed() -> Iterator[None]:
    """What is imported in the block comes with the extra `pacs`; UsageError where it is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is needed to talk to a PACS; install medimg[pacs]") from error
