"""A storage SCP: what a scanner or a PACS sends is on the disk, synced, before it is acknowledged.

So a process that is killed at any moment has lost nothing that the sender believes to be stored.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pynetdicom import AE, evt
from pynetdicom.presentation import AllStoragePresentationContexts
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from pynetdicom.transport import ThreadedAssociationServer

from medimg import files
from medimg.errors import NetworkError, OutputError, UsageError
from medimg.pacs.dimse import COMPRESSED, SUCCESS, UNCOMPRESSED
from medimg.pacs.servers import MAX_AET, Tls

OUT_OF_RESOURCES = 0xA700
CANNOT_UNDERSTAND = 0xC000
"""Status of C-STORE (PS3.4 table B.2-1)."""

MAX_PDU_BYTES = 64 << 10
"""What a peer may send at once; larger ones gain nothing on a hospital's network."""

NAME_LENGTH = 64
"""Of a UID (PS3.5 section 9.1)."""


@dataclass(frozen=True)
class Receiver:
    """What is received, from whom and how much.

    folder: STUDY/INSTANCE.dcm below it. allowed: titles that may call; nobody else is let in. quota: bytes that the
    folder may hold in all; reserve: bytes that stay free on its disk. tls: with `certificate` and `key` of ours.
    """

    folder: Path
    aet: str
    port: int
    allowed: tuple[str, ...]
    host: str = "127.0.0.1"
    quota: int = 100 << 30
    reserve: int = 1 << 30
    associations: int = 16
    tls: Tls | None = None

    def __post_init__(self) -> None:
        if not self.allowed:
            raise UsageError("nobody may send; name the AE titles that may with --allow")
        for title in (self.aet, *self.allowed):
            if not 0 < len(title.strip()) <= MAX_AET or "\\" in title:
                raise UsageError(f"{title!r} is no AE title (1-{MAX_AET} characters)")

    def start(self, told: Callable[[Path], None] = lambda _: None) -> ThreadedAssociationServer:
        """Listen in the background; `told` of each file. `shutdown()` of what is returned ends it.

        Raises NetworkError when the port cannot be had, OutputError when the folder cannot be written.
        """
        files.output_folder(self.folder)
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
        entity = AE(ae_title=self.aet)
        entity.require_called_aet = True
        entity.require_calling_aet = list(self.allowed)
        entity.maximum_associations = self.associations
        entity.maximum_pdu_size = MAX_PDU_BYTES
        entity.add_supported_context(Verification)
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(str(context.abstract_syntax), [*UNCOMPRESSED, *COMPRESSED])
        budget = _Budget(self.folder, self.quota, self.reserve)

        def store(event: evt.Event) -> int:
            return _store(event, self.folder, budget, told)

        try:
            server = entity.start_server(
                (self.host, self.port),
                block=False,
                evt_handlers=[(evt.EVT_C_STORE, store)],
                ssl_context=None if self.tls is None else _server_context(self.tls),
            )
        except OSError as error:
            message = f"cannot listen on {self.host}:{self.port} ({error.strerror}); choose another --port"
            raise NetworkError(message) from error
        assert server is not None
        return server


class _Budget:
    """How much more may be stored. What is there is counted once, at the start."""

    def __init__(self, folder: Path, quota: int, reserve: int) -> None:
        self._folder, self._quota, self._reserve = folder, quota, reserve
        self.used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    def takes(self, size: int) -> bool:
        """Whether `size` bytes more fit the quota, and leave the reserve."""
        return self.used + size <= self._quota and shutil.disk_usage(self._folder).free - size >= self._reserve


def _store(event: evt.Event, folder: Path, budget: _Budget, told: Callable[[Path], None]) -> int:
    """One C-STORE: its status."""
    data = event.encoded_dataset()
    if not budget.takes(len(data)):
        return OUT_OF_RESOURCES
    try:
        study = str(event.dataset.StudyInstanceUID)
    except Exception:
        return CANNOT_UNDERSTAND
    uid = str(event.request.AffectedSOPInstanceUID)  # type: ignore[union-attr]
    try:
        path = _place(folder / _name(study), _name(uid), data)
        if not path.exists():
            files.write_bytes(path, data)
            files.sync_folder(path.parent)
            budget.used += len(data)
    except OutputError:
        return OUT_OF_RESOURCES
    told(path)
    return SUCCESS


def _place(folder: Path, name: str, data: bytes) -> Path:
    """Where an instance goes; one whose UID is there with other content is kept beside it, for the reader to judge."""
    path = folder / f"{name}.dcm"
    if not path.exists() or path.read_bytes() == data:
        return path
    return folder / f"{name}_{hashlib.sha256(data).hexdigest()[:8]}.dcm"


def _name(uid: str) -> str:
    """A file name of nothing but digits and dots: it comes from outside."""
    kept = "".join(letter for letter in uid if letter in "0123456789.").strip(".")[:NAME_LENGTH]
    return kept or hashlib.sha256(uid.encode("utf-8", "replace")).hexdigest()[:16]


def _server_context(tls: Tls) -> ssl.SSLContext:
    """TLS 1.2 or later; a client's certificate is asked for where `ca` is given."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tls.ca or None)
    context.load_cert_chain(tls.certificate, tls.key or None)
    if tls.ca:
        context.verify_mode = ssl.CERT_REQUIRED
    return context
