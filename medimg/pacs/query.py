"""What is asked of a PACS, and what it answers: matches of series, whatever the protocol."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydicom.dataset import Dataset

from medimg.dicom import fields
from medimg.errors import NetworkError, UsageError
from medimg.pacs.uids import is_uid
from medimg.progress import Progress, silent

DATE = re.compile(r"\d{8}|\d{8}-\d{8}|\d{8}-|-\d{8}")
"""A DICOM date or range (PS3.4 section C.2.2.2.5.1)."""

STUDY_KEYS = {
    "patient": "PatientID",
    "study": "StudyInstanceUID",
    "accession": "AccessionNumber",
    "date": "StudyDate",
    "modality": "ModalitiesInStudy",
}
SERIES_KEYS = {"series": "SeriesInstanceUID", "modality": "Modality", "description": "SeriesDescription"}
"""What may be asked for -> the attribute that must match, of the study and of its series."""

NAMES = tuple(dict.fromkeys((*STUDY_KEYS, *SERIES_KEYS)))


@dataclass(frozen=True)
class Query:
    """asked: name -> value, of `NAMES`. All must hold; `*` and `?` match as DICOM's wildcards do.

    date: YYYYMMDD, or a range of two with "-" between. Raises UsageError naming what is wrong.
    """

    asked: Mapping[str, str]

    def __post_init__(self) -> None:
        names = ", ".join(NAMES)
        if strangers := sorted(set(self.asked) - set(NAMES)):
            raise UsageError(f"a query knows no {strangers[0]!r}; names are {names}")
        if not any(self.asked.values()):
            raise UsageError(f"the query asks for nothing; name one of {names}")
        date = self.asked.get("date", "")
        if date and not DATE.fullmatch(date):
            raise UsageError(f"date {date!r}: give YYYYMMDD, or a range YYYYMMDD-YYYYMMDD")
        for name in ("study", "series"):
            if (value := self.asked.get(name)) and not is_uid(value):
                raise UsageError(f"{name} {value!r} is not a DICOM UID")

    @property
    def study_keys(self) -> dict[str, str]:
        """Matching keys of the study level: keyword -> value."""
        return self._keys(STUDY_KEYS)

    @property
    def series_keys(self) -> dict[str, str]:
        """Matching keys of the series level: keyword -> value."""
        return self._keys(SERIES_KEYS)

    def accepts(self, match: Match) -> bool:
        """Whether the series is one that was asked for: servers may leave optional keys unmatched (PS3.4 C.2.2.1.3)."""
        asked = ((self.asked.get("modality"), match.modality), (self.asked.get("description"), match.description))
        return all(not wanted or fnmatch.fnmatchcase(found.lower(), wanted.lower()) for wanted, found in asked)

    def _keys(self, keywords: Mapping[str, str]) -> dict[str, str]:
        return {keyword: value for name, keyword in keywords.items() if (value := self.asked.get(name))}


def parse_query(text: str) -> Query:
    """ "modality=CT,date=20240101-20240131" as a query. Raises UsageError naming what is wrong."""
    asked: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, separator, value = part.partition("=")
        if not separator:
            raise UsageError(f"query {part!r}: write NAME=VALUE, names are {', '.join(NAMES)}")
        asked[name.strip()] = value.strip()
    return Query(asked)


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

    @classmethod
    def of(cls, study: Dataset, series: Dataset) -> Match:
        """From a server's answers about a study and one of its series. Raises NetworkError when a UID is missing."""
        match = cls(
            study_uid=fields.text(study, "StudyInstanceUID"),
            series_uid=fields.text(series, "SeriesInstanceUID"),
            modality=fields.text(series, "Modality"),
            description=fields.human(series, "SeriesDescription"),
            study_date=fields.text(study, "StudyDate"),
            patient_id=fields.human(study, "PatientID"),
            accession=fields.human(study, "AccessionNumber"),
            instances=fields.integer(series, "NumberOfSeriesRelatedInstances"),
        )
        if not match.study_uid or not match.series_uid:
            raise NetworkError("the server answers with a series that has no UID; its index is damaged")
        return match


RETURNED_OF_STUDY = ("StudyInstanceUID", "StudyDate", "PatientID", "AccessionNumber")
RETURNED_OF_SERIES = ("SeriesInstanceUID", "Modality", "SeriesDescription", "NumberOfSeriesRelatedInstances")
"""What `Match.of` reads."""


@dataclass
class Transfer:
    """What went through, and what did not: (SOP instance UID or file, why). broken: the server went away meanwhile."""

    done: list[Path]
    failed: list[tuple[str, str]]
    broken: bool = False

    def add(self, other: Transfer) -> None:
        """Take up what another transfer did."""
        self.done += other.done
        self.failed += other.failed
        self.broken |= other.broken

    def broken_off(self, left: Iterable[Path], error: NetworkError) -> None:
        """The files that are left fail for one reason. Raises it when the server has not answered to any before."""
        if not self.done and not self.failed:
            raise error
        self.failed += [(str(path), str(error)) for path in left]
        self.broken = True


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
        """Store DICOM files; what the server refused, or did not get any more, is in `failed` with its reason.

        Raises NetworkError only when nothing was sent.
        """
