"""What a user asks of a case beside what its pipeline says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Wishes:
    """patient: a file with what is known of the patient, for a pipeline that gives advice.

    radiomics: the features of what was measured as well. language: what report.html and report.pdf open in, whatever
    the pipeline says.
    """

    patient: Path | None = None
    radiomics: bool = False
    language: str | None = None

    def on_report(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options of a report stage with what was wished."""
        return options if self.language is None else {**options, "language": self.language}


NONE = Wishes()
"""What the pipeline says, and no more."""
