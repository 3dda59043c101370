"""Who made an object, with what, and when: equipment, algorithm, dates; and where highdicom's errors are mapped."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

import medimg
from medimg.dicom.parse import quiet
from medimg.errors import UnstorableError
from medimg.report.dicom.original import UNICODE, Original
from medimg.report.wording import pipeline_of
from medimg.results import Report

if TYPE_CHECKING:
    from highdicom import AlgorithmIdentificationSequence, ContributingEquipment

MANUFACTURER = "medimg"

ALGORITHM_FAMILY = Code("123110", "DCM", "Artificial Intelligence")
"""CID 7162."""

PURPOSE = Code("109102", "DCM", "Processing Equipment")

SERIES_NUMBERS = {"seg": 9001, "sr": 9002, "epdf": 9003, "sc": 9004, "rtstruct": 9005}
"""Behind the numbers that scanners give; a number need not be unique (PS3.3 section C.7.3.1)."""

MAX_TEXT = 64
"""Characters of an LO (PS3.5 section 6.2)."""

BUILDING_ERRORS = (ValueError, TypeError, AttributeError, LookupError, RuntimeError, NotImplementedError, OverflowError)
"""What highdicom and pydicom raise on values that fit no DICOM object."""


@dataclass(frozen=True)
class Maker:
    """What every object of one report says about how it came to be."""

    report: Report
    original: Original

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return str(self.report.pipeline.get("name", "pipeline"))[:MAX_TEXT]

    @property
    def version(self) -> str:
        """The pipeline's version."""
        return str(self.report.pipeline.get("version", "0"))[:MAX_TEXT]

    @property
    def model_digest(self) -> str:
        """SHA-256 of the pipeline with its weights: 64 characters, as many as an LO holds."""
        return str(self.report.pipeline.get("sha256", "unknown"))[:MAX_TEXT]

    @property
    def software(self) -> list[str]:
        """Software Versions: medimg's, and the pipeline's."""
        return [f"medimg {medimg.__version__}"[:MAX_TEXT], pipeline_of(self.report.pipeline)[:MAX_TEXT]]

    @property
    def made(self) -> datetime:
        """When the run began, in the time zone the source names, else this machine's; the only date in an object."""
        started = self.report.provenance.get("started")
        moment = datetime.fromisoformat(started) if isinstance(started, str) else datetime.now(timezone.utc)
        offset = self.original.who.get("TimezoneOffsetFromUTC")
        zone = None
        if offset:
            sign = -1 if offset[0] == "-" else 1
            zone = timezone(sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[3:5])))
        return moment.astimezone(zone).replace(tzinfo=None, microsecond=0)

    def equipment(self) -> dict[str, Any]:
        """General Equipment (PS3.3 section C.7.5.1); the model's digest is its serial number."""
        return {
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": self.name,
            "software_versions": self.software,
            "device_serial_number": self.model_digest,
        }

    def contributing(self) -> list[ContributingEquipment]:
        """The scanner that the images came from is added by `finish`; this is what turned them into results."""
        from highdicom import ContributingEquipment

        return [
            ContributingEquipment(
                MANUFACTURER,
                PURPOSE,
                manufacturer_model_name=self.name,
                software_versions=self.software,
                device_serial_number=self.model_digest,
                contribution_datetime=self.made,
                contribution_description=f"{pipeline_of(self.report.pipeline)}. {medimg.NOT_A_MEDICAL_DEVICE}"[:1024],
            )
        ]

    def algorithm(self) -> AlgorithmIdentificationSequence:
        """Algorithm Identification (PS3.3 section 10.16)."""
        from highdicom import AlgorithmIdentificationSequence

        parameters = {"sha256": self.model_digest}
        return AlgorithmIdentificationSequence(
            self.name, ALGORITHM_FAMILY, self.version, source=MANUFACTURER, parameters=parameters
        )

    def description(self, kind: str) -> str:
        """Series Description."""
        return f"{pipeline_of(self.report.pipeline)} {kind}, research only"[:MAX_TEXT]


def finish(dataset: Dataset, maker: Maker, kind: str) -> Dataset:
    """Put in what all objects share: series, dates of the run, the series description, UTF-8.

    Every date and time that is not the source's is that of the run, so that nothing else differs when it is repeated.
    """
    made = maker.made
    day, time = made.strftime("%Y%m%d"), made.strftime("%H%M%S")
    dataset.SpecificCharacterSet = UNICODE
    dataset.SeriesNumber = SERIES_NUMBERS[kind]
    for keyword in ("InstanceCreationDate", "ContentDate", "SeriesDate"):
        setattr(dataset, keyword, day)
    for keyword in ("InstanceCreationTime", "ContentTime", "SeriesTime"):
        setattr(dataset, keyword, time)
    for item in dataset.get("ContributingEquipmentSequence", ()):
        if "ContributionDateTime" in item:
            item.ContributionDateTime = day + time
    return dataset


@contextlib.contextmanager
def building(name: str) -> Iterator[None]:
    """Turn what highdicom and pydicom raise into UnstorableError: one line that names the file."""
    try:
        with quiet():
            yield
    except BUILDING_ERRORS as error:
        detail = " ".join(str(error).split()) or type(error).__name__
        raise UnstorableError(f"{name}: the report fits no such DICOM object: {detail}") from error
