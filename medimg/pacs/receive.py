"""A storage SCP: what a scanner or a PACS sends is on the disk, synced, before it is acknowledged.

So a process that is killed at any moment has lost nothing that the sender believes to be stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pynetdicom import AE, evt
from pynetdicom.transport import ThreadedAssociationServer

from medimg.errors import OutputError, UsageError
from medimg.pacs.inbox import Inbox
from medimg.pacs.scp import LARGEST_INSTANCE_BYTES, OUT_OF_RESOURCES, SUCCESS, storage_scp
from medimg.pacs.servers import check_title
from medimg.pacs.tls import Tls

DOES_NOT_MATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000
"""Status of C-STORE (PS3.4 table B.2-1)."""


@dataclass(frozen=True)
class Receiver:
    """From whom is received, and how much at a time.

    aet: our title; allowed: titles that may call, nobody else is let in. host: the address to listen on, "" for all.
    associations: at a time; largest: bytes of one instance. tls: with `certificate` and `key` of ours.
    Raises UsageError for a title that is none, or when nobody is allowed.
    """

    aet: str
    port: int
    allowed: tuple[str, ...]
    host: str = "127.0.0.1"
    associations: int = 16
    largest: int = LARGEST_INSTANCE_BYTES
    tls: Tls | None = None

    def __post_init__(self) -> None:
        if not self.allowed:
            raise UsageError("nobody may send; name the AE titles that may with --allow")
        for title in (self.aet, *self.allowed):
            check_title(title)

    def start(self, inbox: Inbox, told: Callable[[Path], None] = lambda _: None) -> ThreadedAssociationServer:
        """Listen in the background; `told` of each file. `shutdown()` of what is returned ends it.

        Raises NetworkError when the port cannot be had.
        """
        entity = AE(ae_title=self.aet)
        entity.require_called_aet = True
        entity.require_calling_aet = list(self.allowed)
        entity.maximum_associations = self.associations

        def store(event: evt.Event) -> int:
            return _store(event, inbox, told)

        return storage_scp(entity, self.host, self.port, store, self.tls, self.largest)


def _store(event: evt.Event, inbox: Inbox, told: Callable[[Path], None]) -> int:
    """One C-STORE: its status."""
    try:
        study, uid = str(event.dataset.StudyInstanceUID), str(event.dataset.SOPInstanceUID)
    except Exception:
        return CANNOT_UNDERSTAND
    if uid != str(event.request.AffectedSOPInstanceUID):  # type: ignore[union-attr]
        return DOES_NOT_MATCH
    try:
        path = inbox.store(study, uid, event.encoded_dataset())
    except OutputError:
        return OUT_OF_RESOURCES
    told(path)
    return SUCCESS
