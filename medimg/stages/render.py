"""report: what was found, written in every format asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medimg.report.writers import FORMATS, write_report
from medimg.stages.case import Case, peak_memory_mib


def render(case: Case, options: dict[str, Any], output: Path) -> list[Path]:
    """Write the case's report to the folder `output` and return the files. options: `formats`, `language`."""
    provenance = case.report.provenance
    provenance["seconds"] = {**provenance.get("seconds", {}), **case.clock.seconds}
    # of a report taken up again, the peak is that of the run that searched the scan
    if "peak_memory_mib" not in provenance or "infer" in case.clock.seconds:
        provenance["peak_memory_mib"] = peak_memory_mib()
    formats, language = tuple(options.get("formats", FORMATS)), str(options.get("language", "en"))
    return write_report(case.report, case.volumes, output, formats, language)
