"""The nouns of the journal, and how they are spelt in its tables.

Paths are kept as JSON text, compressed: a file name need not be UTF-8, and those of a series differ in a few digits.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PENDING, RUNNING, DONE, FAILED, UNSUITABLE, DUPLICATE = (
    "pending",
    "running",
    "done",
    "failed",
    "unsuitable",
    "duplicate",
)
STATES = (PENDING, RUNNING, DONE, FAILED, UNSUITABLE, DUPLICATE)
"""unsuitable: sound, but not for the pipeline. duplicate: of the same content as a case that is done."""

QUICK = 1
"""zlib's level: the names of 130 files take 370 bytes in place of 6,500."""


@dataclass(frozen=True)
class Scan:
    """A DICOM series or a volume file as discovery saw it. files: of a series, those of one folder.

    key: what it is, wherever it lies: "study/series" UIDs of a series, the path of a file. facts: what a rule of
    choice looks at. signature: names, sizes and times of its files.
    """

    folder: str
    key: str
    kind: str
    modality: str
    description: str
    files: tuple[Path, ...]
    signature: str
    study_uid: str = ""
    series_uid: str = ""
    role: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Input:
    """One scan of a case: the role it plays, and its files."""

    role: str
    kind: str
    series_uid: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Result:
    """What became of a case. seconds and peak_memory_mib: of the attempt that said so."""

    state: str = PENDING
    reason: str | None = None
    message: str | None = None
    seconds: float | None = None
    peak_memory_mib: float | None = None
    input_sha256: str | None = None
    findings: int | None = None
    duplicate_of: str | None = None


@dataclass(frozen=True, kw_only=True)
class CaseRow(Result):
    """One case as the journal has it; `id` is the name of its folder in OUT."""

    id: str
    pipeline: str
    pipeline_sha256: str
    study_uid: str
    description: str
    inputs: tuple[Input, ...]
    signature: str
    attempts: int = 0
    started: str | None = None
    finished: str | None = None


SCAN_COLUMNS = tuple(Scan.__dataclass_fields__)
CASE_COLUMNS = tuple(CaseRow.__dataclass_fields__)
RESULT_COLUMNS = tuple(Result.__dataclass_fields__)


def scan_values(scan: Scan) -> tuple[Any, ...]:
    """The row of a scan, in the order of SCAN_COLUMNS."""
    known = {**vars(scan), "facts": json.dumps(scan.facts), "files": packed([str(path) for path in scan.files])}
    return tuple(known[name] for name in SCAN_COLUMNS)


def scan_of(row: tuple[Any, ...]) -> Scan:
    """The inverse of `scan_values`."""
    known = dict(zip(SCAN_COLUMNS, row, strict=True))
    return Scan(**{**known, "facts": json.loads(known["facts"]), "files": tuple(map(Path, unpacked(known["files"])))})


def case_of(row: tuple[Any, ...]) -> CaseRow:
    """The case of a row in the order of CASE_COLUMNS."""
    known = dict(zip(CASE_COLUMNS, row, strict=True))
    return CaseRow(**{**known, "inputs": _inputs(known["inputs"])})


def inputs_value(inputs: Iterable[Input]) -> bytes:
    """The scans of a case as the journal keeps them."""
    return packed([[i.role, i.kind, i.series_uid, [str(path) for path in i.files]] for i in inputs])


def joined(first: Scan, second: Scan) -> Scan:
    """A series that lies in two folders. Its facts must be read anew: those of each part are no series'."""
    return Scan(
        folder=first.folder,
        key=first.key,
        kind=first.kind,
        modality=first.modality or second.modality,
        description=first.description,
        files=tuple(sorted({*first.files, *second.files})),
        signature=f"{first.signature}+{second.signature}",
        study_uid=first.study_uid,
        series_uid=first.series_uid,
        role=first.role,
    )


def packed(document: Any) -> bytes:
    """JSON text, compressed."""
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode("ascii"), QUICK)


def unpacked(value: bytes) -> Any:
    """The inverse of `packed`."""
    return json.loads(zlib.decompress(value))


def _inputs(value: bytes) -> tuple[Input, ...]:
    return tuple(Input(role, kind, uid, tuple(map(Path, files))) for role, kind, uid, files in unpacked(value))
