"""What a user asks of a case beside what its pipeline says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medimg.report.dicom.build import DicomOptions


@dataclass(frozen=True)
class DicomWishes:
    """What the user says of DICOM results. kinds: which of them, None for those the pipeline lists.

    reference: a folder with the DICOM series the first scan was made from; the others are those of DicomOptions.
    """

    kinds: tuple[str, ...] | None = None
    seg_type: str = DicomOptions.seg_type
    empty_frames: bool = DicomOptions.empty_frames
    reference: Path | None = None


AS_LISTED = DicomWishes()
"""What the pipeline lists, as it is by default."""


@dataclass(frozen=True)
class Wishes:
    """patient: a file with what is known of the patient, for a pipeline that gives advice.

    radiomics: the features of what was measured as well. language: what report.html and report.pdf open in, whatever
    the pipeline says. dicom: what goes to a PACS.
    """

    patient: Path | None = None
    radiomics: bool = False
    language: str | None = None
    dicom: DicomWishes = AS_LISTED

    def on_report(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options of a report stage with what was wished."""
        return options if self.language is None else {**options, "language": self.language}


NONE = Wishes()
"""What the pipeline says, and no more."""
