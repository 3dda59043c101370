"""UIDs that derive from what an object is about: the same scan, pipeline and result give the same UIDs again."""

from __future__ import annotations

import hashlib
import json

import numpy as np

import medimg
from medimg.report.dicom.derive import derived
from medimg.report.dicom.original import Original
from medimg.results import Finding, Report


class Identity:
    """UIDs of one report's objects.

    Series and tracking UIDs depend on the input volumes, the pipeline and medimg's version, so that a re-run lands in
    the same series; an instance's depends on the result too, because one UID must never mean two contents.
    """

    def __init__(self, report: Report, original: Original) -> None:
        digests = [str(entry.get("sha256")) for entry in report.inputs]
        scan = (original.who.StudyInstanceUID, original.series_uid)
        self._made_by = (*scan, *digests, report.pipeline.get("sha256"), medimg.__version__)
        self._report, self._labels = report, _digest(report)

    def series(self, kind: str) -> str:
        """Series Instance UID of the objects of that kind."""
        return derived("series", kind, *self._made_by)

    def instance(self, kind: str, *variant: object) -> str:
        """SOP Instance UID; `variant` is what else decides its content. Warnings stand in all but a SEG."""
        warnings = () if kind == "seg" else self._report.warnings
        return derived("instance", kind, *self._made_by, *self._result, *warnings, *variant)

    def tracking(self, finding: Finding) -> str:
        """Tracking UID of a finding: its name and its place to the millimetre."""
        return derived("tracking", *self._made_by, finding.id, *(round(value) for value in finding.center_lps_mm))

    def device(self) -> str:
        """UID of the observer: this version of medimg with this pipeline."""
        return derived("device", *self._made_by[-2:])

    def other(self, *parts: object) -> str:
        """Any other UID that the objects need."""
        return derived("other", *self._made_by, *self._result, *parts)

    @property
    def _result(self) -> tuple[str, str]:
        """Of all that is said of the scan, without times and paths, and of the label map."""
        said = [
            [finding.to_dict() for finding in self._report.findings],
            self._report.measurements,
            self._report.advice,
            self._report.provenance.get("codes", {}),
        ]
        return json.dumps(said, sort_keys=True, default=str), self._labels


def _digest(report: Report) -> str:
    """Of the label map."""
    digest = hashlib.sha256()
    if report.segmentation is not None:
        labels = {str(value): name for value, name in sorted(report.segmentation.labels.items())}
        digest.update(json.dumps(labels).encode())
        digest.update(np.ascontiguousarray(report.segmentation.array.transpose(2, 1, 0)).data)
    return digest.hexdigest()
