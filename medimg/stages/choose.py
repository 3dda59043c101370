"""Which of the series and files of a folder the user asked for."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass

from medimg.errors import UsageError

NAMED = 8
"""Series an error names before it counts the rest."""


@dataclass(frozen=True)
class Scan:
    """What a choice is made by; empty where the scan does not say. label: what a person calls it."""

    series_uid: str
    modality: str
    description: str
    label: str


@dataclass(frozen=True)
class Choice:
    """What was asked for: any of the values of one option, and all of the options. Nothing given takes everything.

    descriptions: shell patterns (`*`, `?`, `[...]`) for the whole description, upper and lower case alike.
    """

    series_uids: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    descriptions: tuple[str, ...] = ()

    def refusal(self, scan: Scan) -> str | None:
        """Why the scan was not asked for; None when it was."""
        if self.series_uids and scan.series_uid not in self.series_uids:
            return "another series UID was asked for"
        if self.modalities and scan.modality.upper() not in {modality.upper() for modality in self.modalities}:
            return f"modality {scan.modality or 'unknown'}, not {' or '.join(self.modalities)}"
        if self.descriptions and not any(_matches(scan.description, pattern) for pattern in self.descriptions):
            return f"its description does not match {' or '.join(self.descriptions)}"
        return None

    def check(self, scans: Iterable[Scan], where: str) -> None:
        """Raise UsageError when nothing was asked for that is there, or a series UID is not there."""
        there = list(scans)
        absent = sorted(set(self.series_uids) - {scan.series_uid for scan in there})
        if absent:
            raise UsageError(f"{where} holds no series {', '.join(absent)}; it holds {_listed(there)}")
        if there and all(self.refusal(scan) for scan in there):
            raise UsageError(f"nothing in {where} is what was asked for; it holds {_listed(there)}")


EVERYTHING = Choice()


def _matches(description: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(description.lower(), pattern.lower())


def _listed(scans: list[Scan]) -> str:
    names = "; ".join(scan.label for scan in scans[:NAMED])
    more = f" and {len(scans) - NAMED} more (--list shows all)" if len(scans) > NAMED else ""
    return f"{names}{more}" if scans else "no series"
