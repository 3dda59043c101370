"""report: what was found, written in every format asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medimg.report.writers import FORMATS, write_report
from medimg.stages.case import Case, peak_memory_mib


def render(case: Case, options: dict[str, Any], output: Path) -> list[Path]:
    """Write the case's report to the folder `output` and return the files. options: `formats`."""
    case.report.provenance["seconds"] = dict(case.clock.seconds)
    case.report.provenance["peak_memory_mib"] = peak_memory_mib()
    return write_report(case.report, case.volumes, output, tuple(options.get("formats", FORMATS)))
