"""Ours as a server of DIMSE: which objects it takes, and bounds on what a peer may make it hold.

pynetdicom leaves the length of a PDU, and of a whole message, to the peer; and a TLS handshake that stalls would keep
everybody else waiting.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import AllStoragePresentationContexts
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from medimg.errors import NetworkError
from medimg.pacs.tls import Tls

UNCOMPRESSED = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99")

COMPRESSED = (
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.202",
    "1.2.840.10008.1.2.4.203",
    "1.2.840.10008.1.2.5",
)
"""Transfer syntaxes taken as they come, beside the uncompressed ones: JPEG, JPEG-LS, JPEG 2000, HTJ2K, RLE."""

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
"""Status of C-STORE (PS3.4 table B.2-1)."""

PDU_BYTES = 64 << 10
"""What a peer is told that it may send at once; more gains nothing on a hospital's network."""

LONGEST_PDU_BYTES = 1 << 20
"""What is read at most: a request for an association may be longer than PDU_BYTES, nothing is longer than this."""

LARGEST_INSTANCE_BYTES = 2 << 30
"""Of one message, which is held in memory until it is whole."""

SILENT_SECONDS = 60.0
"""After which a peer that says nothing is let go of."""

Store = Callable[[evt.Event], int]


def storage_scp(
    entity: AE, host: str, port: int, store: Store, tls: Tls | None = None, largest: int = LARGEST_INSTANCE_BYTES
) -> ThreadedAssociationServer:
    """Take every storage class on `host`:`port` ("" is every address) in the background; `store` answers a C-STORE.

    `shutdown()` of what is returned ends it. Raises NetworkError when the port cannot be had, or the TLS files cannot
    be read.
    """
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    entity.maximum_pdu_size = PDU_BYTES
    entity.network_timeout = SILENT_SECONDS
    entity.add_supported_context(Verification)
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(str(context.abstract_syntax), [*UNCOMPRESSED, *COMPRESSED])

    def store_and_count_anew(event: evt.Event) -> int:
        status = store(event)
        reader = getattr(event.assoc.dul.socket, "recv", None)
        if isinstance(reader, _BoundedReader):
            reader.start_anew()
        return status

    class Handler(_Handler):
        bound = largest

    try:
        server = entity.make_server(
            (host, port),
            evt_handlers=[(evt.EVT_C_STORE, store_and_count_anew)],
            ssl_context=None if tls is None else tls.context(ssl.Purpose.CLIENT_AUTH),
            server_class=_Server,
            request_handler=Handler,
        )
    except OSError as error:
        message = f"cannot listen on {host or 'any address'}:{port} ({error.strerror or error}); choose another port"
        raise NetworkError(message) from error
    assert isinstance(server, ThreadedAssociationServer)
    entity._servers.append(server)  # as AE.start_server does, which takes no server class
    threading.Thread(target=server.serve_forever, name="medimg-scp", daemon=True).start()
    return server


class _Server(ThreadedAssociationServer):
    """Accepts without waiting for TLS; what goes wrong with a connection is the peer's affair."""

    def get_request(self) -> tuple[Any, Any]:
        assert self.socket is not None
        return self.socket.accept()

    def handle_error(self, request: Any, client_address: Any) -> None:
        logging.getLogger(__name__).info("connection from %s failed", client_address, exc_info=True)


class _Handler(RequestHandler):
    """A connection with bounds."""

    bound = LARGEST_INSTANCE_BYTES

    def setup(self) -> None:
        assert isinstance(self.server, _Server)
        self.request.settimeout(SILENT_SECONDS)
        if self.server.ssl_context is not None:
            self.request = self.server.ssl_context.wrap_socket(self.request, server_side=True)

    def _create_association(self) -> Association:
        association = super()._create_association()
        socket = association.dul.socket
        assert socket is not None
        socket.recv = _BoundedReader(socket.recv, self.bound)  # type: ignore[assignment, method-assign]
        return association


class _BoundedReader:
    """In place of `AssociationSocket.recv`: ends the connection of a peer that announces more than is held for it."""

    def __init__(self, read: Callable[[int], bytearray], bound: int) -> None:
        self._read, self._bound, self._left = read, bound, bound

    def start_anew(self) -> None:
        """The message that counted is dealt with."""
        self._left = self._bound

    def __call__(self, size: int) -> bytearray:
        self._left -= size
        if size > LONGEST_PDU_BYTES or self._left < 0:
            raise OSError("more than a peer may send")  # which pynetdicom takes as a closed connection
        return self._read(size)
