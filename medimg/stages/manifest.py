"""What `medimg preprocess` says of everything it found: one entry a series, and no file without a word."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medimg.dicom.discover import SeriesHeaders
from medimg.dicom.verdict import SeriesResult
from medimg.dicom.walk import Skipped
from medimg.results import MANIFEST_SCHEMA
from medimg.stages.volume_files import files_of, outline_file

TO_BE_READ = "to be read"
"""Status of a series whose headers alone do not decide; in a dry run only."""


@dataclass
class Manifest:
    """The `medimg.preprocess/1` document: every file under the root is in a series or skipped.

    damaged: those of the skipped files that were meant to be DICOM. not_chosen: what the user did not ask for.
    """

    root: Path
    series: list[dict[str, Any]] = field(default_factory=list)
    not_chosen: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)

    @property
    def rejected(self) -> list[dict[str, Any]]:
        """Entries of the series that did not become volumes, or not wholly."""
        return [entry for entry in self.series if entry["status"] == "rejected"]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; volume paths are relative to the manifest, source paths to the input root."""
        skipped = [
            {"path": relative(skip.path, self.root), "reason": str(skip.reason)}
            | ({"message": skip.message} if skip.message else {})
            for skip in self.skipped
        ]
        return {
            "schema": MANIFEST_SCHEMA,
            "series": self.series,
            "not_chosen": self.not_chosen,
            "skipped": skipped,
        }


def entry_of(result: SeriesResult, volumes: list[dict[str, Any]], root: Path) -> dict[str, Any]:
    """The entry of one series, or of a volume file. volumes: what `save_volume` says of each."""
    rejection = result.rejection
    return {
        "study_uid": result.study_uid,
        "series_uid": result.series_uid,
        "modality": result.modality,
        "description": result.description,
        "status": status_of(result),
        "reason": None if rejection is None else str(rejection.reason),
        "message": None if rejection is None else str(rejection),
        "files": [] if rejection is None else [relative(path, root) for path in rejection.files],
        "unused": [relative(path, root) for path in result.unused],
        "volumes": volumes,
        "excluded": [{"path": relative(path, root), "reason": str(why)} for path, why in result.excluded],
    }


def left_out(scan: SeriesHeaders | Path, why: str, root: Path) -> dict[str, Any]:
    """The manifest entry of what was not asked for."""
    if isinstance(scan, SeriesHeaders):
        identity = (scan.study_uid, scan.series_uid, scan.modality, scan.description)
        paths = list(dict.fromkeys(frame.path for frame in scan.frames))
    else:
        known = outline_file(scan)
        identity = (known.study_uid, known.series_uid, known.modality, known.description)
        paths = list(files_of(scan))
    words = dict(zip(("study_uid", "series_uid", "modality", "description"), identity, strict=True))
    return {**words, "why": why, "files": [relative(path, root) for path in paths]}


def status_of(result: SeriesResult) -> str:
    """ "ok" or "rejected"; TO_BE_READ when no pixel was read and pixels decide."""
    if result.undecided:
        return TO_BE_READ
    return "ok" if result.rejection is None else "rejected"


def relative(path: Path, root: Path) -> str:
    """`path` relative to the input root (to its folder when the root is a file), with forward slashes."""
    base = root.parent if root.is_file() else root
    return Path(os.path.relpath(path, base)).as_posix()
