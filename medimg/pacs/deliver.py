"""Results of a batch back to a PACS: SEG and SR of each case that is done, once each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medimg import files
from medimg.batch.rows import DONE
from medimg.batch.run import Batch
from medimg.errors import NetworkError
from medimg.pacs.query import Pacs

OBJECTS = "*.dcm"
"""What `medimg infer` writes for a PACS: segmentation.dcm, report.dcm and what else was asked for."""


class Courier:
    """Sends the objects of a batch's cases: each as soon as it is done, and with `rest` what is left.

    Their UIDs are the same when they are sent again, so that a run killed between sending and noting doubles nothing
    at the server.
    """

    def __init__(self, batch: Batch, pacs: Pacs) -> None:
        self._batch, self._pacs, self._tell, self.server = batch, pacs, batch.tell, pacs.name
        self._refused: set[tuple[str, str]] = set()
        self._away = False
        batch.tell = self._listen

    def rest(self) -> int:
        """Send what the server has not taken yet, and was not refused before; how many cases are left undelivered."""
        self._away = False
        undelivered = self._batch.journal.undelivered(self.server)
        return sum(not self._deliver(identifier) for identifier in undelivered)

    def _listen(self, event: dict[str, Any]) -> None:
        self._tell(event)
        if event["event"] == "case" and event["state"] == DONE:
            self._deliver(event["id"])

    def _deliver(self, identifier: str) -> bool:
        """Whether the server has the case's objects; one that is away is asked again with the next `rest`."""
        with self._batch.place.earlier(identifier) as folder:
            objects = [] if folder is None else sorted(folder.glob(OBJECTS))
            sha256 = files.sha256_of_files(objects)
            if self._batch.journal.delivered(identifier, self.server, sha256) or not objects:
                taken = True
            else:
                taken = (identifier, sha256) not in self._refused and self._send(identifier, sha256, objects)
        if taken:
            self._batch.journal.note_delivery(identifier, self.server, sha256)
        return taken

    def _send(self, identifier: str, sha256: str, objects: list[Path]) -> bool:
        if self._away:
            return False
        about = {"id": identifier, "server": self.server}
        try:
            result = self._pacs.send(objects)
        except NetworkError as error:
            self._away = True
            self._tell({"event": "away", "server": self.server, "message": str(error)})
            return False
        if result.failed:
            self._refused.add((identifier, sha256))
            self._tell({"event": "refused", **about, "message": result.failed[0][1]})
            return False
        self._tell({"event": "delivered", **about, "objects": len(objects)})
        return True
