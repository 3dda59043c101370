"""Results of a batch back to a PACS: SEG and SR of each case that is done, once each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from medimg import files
from medimg.batch.journal import Journal
from medimg.batch.rows import DONE
from medimg.pacs.query import Pacs

OBJECTS = "*.dcm"
"""What `medimg infer` writes for a PACS: segmentation.dcm, report.dcm and what else was asked for."""


def deliver(journal: Journal, output: Path, pacs: Pacs, tell: Callable[[dict[str, Any]], None]) -> int:
    """Send what the server has not taken yet; how many cases it refused. Their UIDs are the same when they are sent
    again, so that a run killed between sending and noting doubles nothing at the server.

    Raises NetworkError only when nothing can be sent at all.
    """
    refused = 0
    for case in journal.cases(DONE):
        objects = sorted((output / case.id).glob(OBJECTS))
        if not objects:
            continue
        sha256 = files.sha256_of_files(objects)
        if journal.delivered(case.id, pacs.name, sha256):
            continue
        result = pacs.send(objects)
        if result.failed:
            refused += 1
            tell({"event": "refused", "id": case.id, "server": pacs.name, "message": result.failed[0][1]})
        else:
            journal.note_delivery(case.id, pacs.name, sha256)
            tell({"event": "delivered", "id": case.id, "server": pacs.name, "objects": len(objects)})
    return refused
