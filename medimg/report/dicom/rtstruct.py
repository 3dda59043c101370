"""rtstruct.dcm: the labels as contours on the original slices, an RT Structure Set (PS3.3 section A.19)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage
from pydicom.valuerep import format_number_as_ds

from medimg.errors import InputError, Reason
from medimg.report import wording
from medimg.report.dicom.equipment import Maker
from medimg.report.dicom.original import Original, Plane
from medimg.report.dicom.plain import new_object, reference
from medimg.report.dicom.segments import Segment, segments_of
from medimg.report.dicom.slices import on_slices
from medimg.report.dicom.uids import Identity

DETACHED_STUDY = "1.2.840.10008.3.1.2.3.1"
"""Detached Study Management, retired: what an RT Referenced Study names by convention (PS3.3 section C.8.8.5.3)."""

HALF = 0.5
"""The contour runs midway between pixel centres inside and outside."""

FEWEST_POINTS = 3

Ring = NDArray[np.float64]
"""(N, 3) LPS mm, in order around, the first point not repeated."""


def build_rtstruct(maker: Maker, identity: Identity, resampled: bool) -> list[Dataset]:
    """The Structure Set; none without a label. A hole is a ring of its own within its outline (XOR)."""
    segmentation, original = maker.report.segmentation, maker.original
    segments = segments_of(maker.report, overlapping=False)
    if segmentation is None or not segments:
        return []
    if not all(plane.whole for plane in original.planes):
        raise InputError(Reason.UNSUPPORTED_KIND, "a mosaic has no images to draw contours on")
    drawn = on_slices(segmentation.array, segmentation.affine_ras, original, resampled).labels
    dataset = new_object(maker, identity, "rtstruct", RTStructureSetStorage, "RTSTRUCT")
    dataset.OperatorsName, dataset.StructureSetLabel = "", "medimg"
    dataset.StructureSetDate, dataset.StructureSetTime = dataset.ContentDate, dataset.ContentTime
    del dataset.ContentDate, dataset.ContentTime
    dataset.ApprovalStatus = "UNAPPROVED"
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = original.frame_of_reference_uid, ""
    dataset.ReferencedFrameOfReferenceSequence = [_referenced(original)]
    dataset.StructureSetROISequence = [_region(segment, original) for segment in segments]
    dataset.ROIContourSequence = [_contours(segment, drawn, original) for segment in segments]
    dataset.RTROIObservationsSequence = [_observation(segment) for segment in segments]
    return [dataset]


def rings(mask: NDArray[np.bool_], original: Original, plane: Plane) -> Iterator[Ring]:
    """Closed outlines of a mask (rows, columns) of one slice."""
    from contourpy import contour_generator

    # a border of zeros closes what touches the edge of the image
    for line in contour_generator(z=np.pad(mask, 1).astype(np.float64)).lines(HALF):
        pixels = np.asarray(line)[:-1] - 1
        if len(pixels) >= FEWEST_POINTS:
            across = pixels[:, :1] * original.cosines[0] * original.spacing_mm[1]
            down = pixels[:, 1:] * original.cosines[1] * original.spacing_mm[0]
            yield np.array(plane.position) + across + down


def _referenced(original: Original) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = original.series_uid
    series.ContourImageSequence = [reference(*instance) for instance in original.instances]
    study = reference(DETACHED_STUDY, str(original.who.StudyInstanceUID))
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = original.frame_of_reference_uid, [study]
    return frame


def _region(segment: Segment, original: Original) -> Dataset:
    region = Dataset()
    region.ROINumber, region.ROIName = segment.number, segment.name[:64]
    region.ReferencedFrameOfReferenceUID = original.frame_of_reference_uid
    region.ROIGenerationAlgorithm = "AUTOMATIC"
    return region


def _contours(segment: Segment, drawn: NDArray[np.uint8], original: Original) -> Dataset:
    contours = []
    for n in np.flatnonzero((drawn == segment.value).any(axis=(1, 2))):
        plane = original.planes[int(n)]
        contours += [_contour(ring, plane) for ring in rings(drawn[n] == segment.value, original, plane)]
    roi = Dataset()
    roi.ReferencedROINumber = segment.number
    roi.ROIDisplayColor = list(wording.rgb(segment.number - 1))
    roi.ContourSequence = contours
    return roi


def _contour(ring: Ring, plane: Plane) -> Dataset:
    image = reference(plane.sop_class_uid, plane.sop_instance_uid)
    if plane.frame is not None:
        image.ReferencedFrameNumber = plane.frame
    contour = Dataset()
    contour.ContourImageSequence = [image]
    contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(ring)
    contour.ContourData = [format_number_as_ds(round(float(value), 4)) for value in ring.ravel()]
    return contour


def _observation(segment: Segment) -> Dataset:
    observation = Dataset()
    observation.ObservationNumber = observation.ReferencedROINumber = segment.number
    observation.RTROIInterpretedType, observation.ROIInterpreter = "", ""
    return observation
