"""radiomics: features of every outlined finding, when they are asked for."""

from __future__ import annotations

from pathlib import Path

from medimg.measure.radiomics import radiomics
from medimg.report.radiomics import write_radiomics
from medimg.stages.case import Case


def extract(case: Case, output: Path) -> list[Path]:
    """Write radiomics.csv and radiomics.json of the case's findings to `output`; UsageError where MIRP is missing."""
    with case.clock.time("radiomics"):
        document = radiomics(case.report.findings, case.report.segmentation, case.volumes)
        return write_radiomics(document, output)
