"""What is asked of a PACS, and what it answers: matches of series, whatever the protocol."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

from medimg.errors import UsageError
from medimg.progress import Progress, silent

DATE = re.compile(r"\d{8}|\d{8}-\d{8}|\d{8}-|-\d{8}")
"""A DICOM date or range (PS3.4 section C.2.2.2.5.1)."""

UID = re.compile(r"[0-9]+(\.[0-9]+)*")
MAX_UID = 64


@dataclass(frozen=True)
class Query:
    """All that are given must hold; `*` and `?` match as DICOM's wildcards do. date: YYYYMMDD or a range of two."""

    patient: str = ""
    study: str = ""
    series: str = ""
    accession: str = ""
    modality: str = ""
    date: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        if self.date and not DATE.fullmatch(self.date):
            raise UsageError(f"date {self.date!r}: give YYYYMMDD, or a range YYYYMMDD-YYYYMMDD")
        for name in ("study", "series"):
            value = getattr(self, name)
            if value and (not UID.fullmatch(value) or len(value) > MAX_UID):
                raise UsageError(f"{name} {value!r} is not a DICOM UID")

    @property
    def study_keys(self) -> dict[str, str]:
        """Matching keys of the study level: keyword -> value."""
        keys = {
            "PatientID": self.patient,
            "StudyInstanceUID": self.study,
            "AccessionNumber": self.accession,
            "StudyDate": self.date,
            "ModalitiesInStudy": self.modality,
        }
        return {keyword: value for keyword, value in keys.items() if value}

    @property
    def series_keys(self) -> dict[str, str]:
        """Matching keys of the series level."""
        keys = {"SeriesInstanceUID": self.series, "Modality": self.modality, "SeriesDescription": self.description}
        return {keyword: value for keyword, value in keys.items() if value}


def parse_query(text: str) -> Query:
    """ "modality=CT,date=20240101-20240131" as a query. Raises UsageError naming what is wrong."""
    known = [field.name for field in fields(Query)]
    values: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, separator, value = part.partition("=")
        if not separator or name.strip() not in known:
            raise UsageError(f"query {part!r}: write NAME=VALUE, names are {', '.join(known)}")
        values[name.strip()] = value.strip()
    if not any(values.values()):
        raise UsageError(f"the query asks for nothing; name one of {', '.join(known)}")
    return Query(**values)


@dataclass(frozen=True)
class Match:
    """One series at the PACS. instances: how many it says there are; None when it does not say."""

    study_uid: str
    series_uid: str
    modality: str = ""
    description: str = ""
    study_date: str = ""
    patient_id: str = ""
    accession: str = ""
    instances: int | None = None


@dataclass
class Transfer:
    """What went through, and what did not: (SOP instance UID or file, why)."""

    done: list[Path]
    failed: list[tuple[str, str]]

    def add(self, other: Transfer) -> None:
        """Take up what another transfer did."""
        self.done += other.done
        self.failed += other.failed


class Pacs(Protocol):
    """A server by either protocol. Every method raises NetworkError when it cannot be reached or refuses."""

    name: str

    def echo(self) -> str:
        """That the server is there; what it is, in words."""

    def find(self, query: Query) -> Iterator[Match]:
        """Every series that matches, page after page."""

    def get(self, match: Match, folder: Path, progress: Progress = silent) -> Transfer:
        """Fetch a series into `folder`, one file an instance, each written atomically."""

    def send(self, paths: list[Path], progress: Progress = silent) -> Transfer:
        """Store DICOM files; what the server refused is in `failed` with its reason."""
