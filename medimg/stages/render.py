"""report: what was found, written in every format asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medimg.report.dicom.build import KINDS, DicomOptions
from medimg.report.writers import FORMATS, write_report
from medimg.stages.ahead import imported
from medimg.stages.case import Case, peak_memory_mib
from medimg.stages.wishes import AS_LISTED, DicomWishes


def render(case: Case, options: dict[str, Any], output: Path, wishes: DicomWishes = AS_LISTED) -> list[Path]:
    """Write the case's report to the folder `output` and return the files. options: `formats`, `language`, `codes`."""
    # a scan without a candidate needs no network, and pictures need what is hidden from MONAI's import
    imported()
    provenance = case.report.provenance
    provenance["seconds"] = {**provenance.get("seconds", {}), **case.clock.seconds}
    # of a report taken up again, the peak is that of the run that searched the scan
    if "peak_memory_mib" not in provenance or "infer" in case.clock.seconds:
        provenance["peak_memory_mib"] = peak_memory_mib()
    provenance["codes"] = options.get("codes", {})
    formats = formats_of(tuple(options.get("formats", FORMATS)), wishes)
    dicom = DicomOptions(wishes.seg_type, wishes.empty_frames, case.reference)
    return write_report(case.report, case.volumes, output, formats, dicom, str(options.get("language", "en")))


def formats_of(listed: tuple[str, ...], wishes: DicomWishes) -> tuple[str, ...]:
    """The formats listed, with the DICOM ones among them replaced by those that were wished for."""
    if wishes.kinds is None:
        return listed
    return (*(name for name in listed if name not in KINDS), *wishes.kinds)
