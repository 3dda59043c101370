"""One case on its way through the stages."""

from __future__ import annotations

import contextlib
import platform
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from importlib import metadata
from typing import TYPE_CHECKING, Any

import medimg
from medimg.dicom.options import AS_SCANNED, ReadOptions
from medimg.pipeline import Pipeline
from medimg.results import Report
from medimg.study import Volume

if TYPE_CHECKING:
    from medimg.inference.roi import Chest

RECORDED_PACKAGES = ("monai", "torch", "numpy", "SimpleITK", "pydicom", "imagecodecs", "nibabel")
"""Whose versions can change a result."""


@dataclass
class Clock:
    """Seconds spent in each named part, in the order they ended; a part within another is not counted in that."""

    seconds: dict[str, float] = field(default_factory=dict)
    started: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    _within: float = 0.0

    @contextlib.contextmanager
    def time(self, part: str) -> Iterator[None]:
        """Add the time of the block to `part`."""
        began, outside, self._within = time.perf_counter(), self._within, 0.0
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            self.seconds[part] = round(self.seconds.get(part, 0.0) + spent - self._within, 3)
            self._within = outside + spent


@dataclass
class Case:
    """Volumes by role (in the pipeline's channel order), how they were chosen, and the report as it grows.

    reference: the DICOM volume the first of them was made from, where it came as another file and was named.
    """

    pipeline: Pipeline
    volumes: dict[str, Volume]
    report: Report
    clock: Clock = field(default_factory=Clock)
    reference: Volume | None = None

    @property
    def first(self) -> Volume:
        """The volume whose grid every result is on."""
        return next(iter(self.volumes.values()))

    @cached_property
    def chest(self) -> Chest:
        """That volume as a chest CT, whose lungs are searched for once for all stages."""
        from medimg.inference.roi import Chest

        return Chest(self.first)


def describe_input(role: str, volume: Volume) -> dict[str, Any]:
    """The `inputs` entry of a report. `path` is made relative to the report's folder when it is written."""
    source = volume.source
    return {
        "role": role,
        "path": str(source.path.resolve()),
        "kind": source.kind,
        "modality": volume.modality,
        "description": volume.description,
        "study_uid": source.study_uid,
        "series_uid": source.series_uid,
        "frame_of_reference_uid": source.frame_of_reference_uid,
        "files": len(source.files),
        "sha256": source.sha256,
        "shape": list(volume.shape),
        "spacing_mm": [round(float(value), 6) for value in volume.spacing_mm],
        "affine_ras": [[round(float(value), 6) for value in row] for row in volume.affine_ras],
        "headers": source.headers,
        "read_options": list(source.read_options),
        "resampling": list(source.resampling),
    }


def resampling_warnings(role: str, volume: Volume, options: ReadOptions = AS_SCANNED) -> list[str]:
    """What a reader of the report must know of a volume that is not as it was scanned, or not read as was asked."""
    said = []
    if options.given and volume.source.kind != "dicom":
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in options.given)
        said.append(f"{role}: {flags} did nothing, a volume file is taken as it is")
    for step in volume.source.resampling:
        if step.get("kind") == "resample_gaps":
            made_up, total = step.get("slices_made_up"), volume.shape[2]
            said.append(f"{role}: {made_up} of {total} slices were not scanned but interpolated ({step.get('reason')})")
        else:
            said.append(f"{role}: resampled from slices tilted by {step.get('tilt_degrees')} degrees")
    return said


def base_provenance(clock: Clock) -> dict[str, Any]:
    """Who made this, when, on what."""
    return {
        "software": {"medimg": medimg.__version__, "python": platform.python_version(), **_package_versions()},
        "platform": platform.platform(),
        "started": clock.started.isoformat(timespec="seconds"),
        "notice": medimg.NOT_A_MEDICAL_DEVICE,
    }


def peak_memory_mib() -> float:
    """Largest resident set of this process so far, MiB (getrusage: KiB on Linux, bytes on macOS)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)


def _package_versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in RECORDED_PACKAGES}
