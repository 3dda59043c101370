"""Every DICOM object of a report, built in memory: one that cannot be is a line in words, and the others stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset

from medimg.errors import InputError, MedimgError, Reason
from medimg.report.attempt import attempt
from medimg.report.dicom.capture import build_capture
from medimg.report.dicom.equipment import Maker, building
from medimg.report.dicom.original import Original, read_original
from medimg.report.dicom.pdf import build_pdf
from medimg.report.dicom.rtstruct import build_rtstruct
from medimg.report.dicom.seg import SEG_TYPES, Built, build_seg, draw
from medimg.report.dicom.segments import segments_of
from medimg.report.dicom.sr import build_sr
from medimg.report.dicom.uids import Identity
from medimg.results import Report
from medimg.study import Source, Volume

KINDS = {
    "seg": "segmentation.dcm",
    "sr": "report.dcm",
    "epdf": "report_pdf.dcm",
    "sc": "key_image.dcm",
    "rtstruct": "rtstruct.dcm",
}
"""What can be built -> its file."""


@dataclass(frozen=True)
class DicomOptions:
    """How the objects are made. seg_type: one of SEG_TYPES; empty_frames: a SEG holds frames without a label too.

    reference: the DICOM images the first scan was made of, for a scan that came as another file.
    """

    seg_type: str = SEG_TYPES[0]
    empty_frames: bool = False
    reference: Volume | None = None


@dataclass
class DicomResults:
    """objects: file name -> dataset; failed: a line for each that could not be made; warnings: what readers must know.

    document: the `dicom` entry of report.json, None without a DICOM source.
    """

    objects: dict[str, Dataset] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    document: dict[str, Any] | None = None


def build_dicom(
    report: Report, volumes: dict[str, Volume], kinds: Sequence[str], options: DicomOptions | None = None
) -> DicomResults:
    """Build the objects of `kinds` (keys of KINDS); nothing at all for a scan that is no DICOM and has no reference.

    What must be said about them is added to the report's warnings, so that the objects built next say it too.
    volumes: role -> scan, the first on the report's grid. Never raises for what scan and report hold.
    """
    options = options or DicomOptions()
    first = options.reference or next(iter(volumes.values()), None)
    results = DicomResults()
    if first is None or not first.source.frames or not kinds:
        return results
    try:
        original = read_original(first.source, first.modality or "")
        further = [v for v in list(volumes.values())[1:] if v.source.frames]
        others = [read_original(volume.source, volume.modality or "") for volume in further]
    except MedimgError as error:
        results.failed = [f"no DICOM results: {error}"]
        return results
    results.warnings += original.warnings
    _Builder(report, volumes, [original, *others], first.source, options, results).run(kinds)
    return results


class _Builder:
    """The objects of one report, one after the other; later ones refer to earlier ones."""

    def __init__(
        self,
        report: Report,
        volumes: dict[str, Volume],
        originals: Sequence[Original],
        source: Source,
        options: DicomOptions,
        results: DicomResults,
    ) -> None:
        original, *self.others = originals
        self.maker, self.identity = Maker(report, original), Identity(report, original)
        self.report, self.volumes, self.options, self.results = report, volumes, options, results
        self.codes = report.provenance.get("codes", {})
        self.resampled = bool(source.resampling)
        self.seg: Built | None = None

    def run(self, kinds: Sequence[str]) -> None:
        """Build what was asked for and describe it."""
        makers: dict[str, Callable[[], list[Dataset]]] = {
            "seg": self._seg,
            "sr": lambda: [build_sr(self.maker, self.identity, self.seg, self.codes, self.others)],
            "epdf": lambda: [build_pdf(self.maker, self.identity, self.volumes)],
            "sc": lambda: [build_capture(self.maker, self.identity, self.volumes)],
            "rtstruct": lambda: build_rtstruct(self.maker, self.identity, self.resampled),
        }
        written = []
        for kind in (kind for kind in KINDS if kind in kinds):
            self._tell()
            for dataset in self._made(KINDS[kind], makers[kind]):
                self.results.objects[KINDS[kind]] = dataset
                written.append(_entry(kind, dataset))
        self._tell()
        tracking = {finding.id: self.identity.tracking(finding) for finding in self.report.findings}
        self.results.document = {
            "study_uid": str(self.maker.original.who.StudyInstanceUID),
            "source_series_uid": self.maker.original.series_uid,
            "objects": written,
            "tracking_uids": tracking,
        }

    def _tell(self) -> None:
        """Put what was said so far among the report's warnings: read back and rendered again, it says the same."""
        said, warnings = (*self.results.warnings, *self.results.failed), self.report.warnings
        warnings += [text for text in said if text not in warnings]

    def _made(self, name: str, make: Callable[[], list[Dataset]]) -> list[Dataset]:
        """The object, if there is anything to put in it; none, and a line about it, where it cannot be made."""
        made: list[Dataset] = []
        with attempt(name, self.results.failed), building(name):
            made = make()
        return made

    def _seg(self) -> list[Dataset]:
        """The SEG; none where nothing is labelled, which only the SR can say."""
        segmentation = self.report.segmentation
        segments = segments_of(self.report, overlapping=self.options.seg_type != "labelmap")
        if segmentation is None or not segments:
            return []
        drawn = draw(self.maker, segmentation, self.resampled)
        if drawn.lost:
            self.results.warnings.append(
                f"segmentation.dcm leaves out {drawn.lost} voxels of the label map on slices that were never scanned"
            )
        if not drawn.labels.any():
            raise InputError(Reason.GRID_MISMATCH, "no scanned slice shows any of the label map")
        self.seg = build_seg(
            self.maker,
            self.identity,
            segments,
            drawn,
            seg_type=self.options.seg_type,
            codes=self.codes,
            empty_frames=self.options.empty_frames,
            resampled=self.resampled,
        )
        return [self.seg.dataset]


def _entry(kind: str, dataset: Dataset) -> dict[str, str]:
    return {
        "path": KINDS[kind],
        "kind": kind,
        "sop_class_uid": str(dataset.SOPClassUID),
        "sop_instance_uid": str(dataset.SOPInstanceUID),
        "series_uid": str(dataset.SeriesInstanceUID),
    }
