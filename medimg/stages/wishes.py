"""What a user asks of a case beside what its pipeline says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Wishes:
    """patient: a file with what is known of the patient, for a pipeline that gives advice.

    radiomics: the features of what was measured as well.
    """

    patient: Path | None = None
    radiomics: bool = False


NONE = Wishes()
"""What the pipeline says, and no more."""
