"""segmentation.dcm: a DICOM Segmentation on the original slices (PS3.3 sections A.51 and A.51.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medimg.report import wording
from medimg.report.dicom.codes import property_of, site_of
from medimg.report.dicom.equipment import Maker, finish
from medimg.report.dicom.original import Original
from medimg.report.dicom.plain import reference
from medimg.report.dicom.segments import Lesions, Segment
from medimg.report.dicom.slices import OnSlices, on_slices
from medimg.report.dicom.uids import Identity
from medimg.report.dicom.views import placeholder, slice_views
from medimg.results import Segmentation

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription

SEG_TYPES = ("binary", "fractional", "labelmap")
"""Segmentation Type (0062,0001): one bit a pixel and segment; one byte, 0 or 255 (occupancy); one label a pixel."""

FULL = 255
"""Maximum Fractional Value of a FRACTIONAL one: a pixel is wholly in its segment, or not at all."""

Codes = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Built:
    """The object, its segments, and for each of their numbers the slices of the original that it is on."""

    dataset: Dataset
    segments: tuple[Segment, ...]
    slices: dict[int, list[int]]


def build_seg(
    maker: Maker,
    identity: Identity,
    segments: Sequence[Segment],
    drawn: OnSlices,
    *,
    seg_type: str = "binary",
    codes: Codes,
    empty_frames: bool = False,
    resampled: bool = False,
) -> Built:
    """The Segmentation of a report with at least one segment.

    drawn: its label map on the original slices; empty_frames: frames without a labelled pixel are written too.
    """
    from highdicom.seg import Segmentation as Seg

    planes = [n for n, plane in enumerate(drawn.labels) if empty_frames or plane.any()]
    pixels = _pixels(maker, segments, drawn.labels[planes], planes, resampled)
    original = maker.original
    seg = Seg(
        source_images=slice_views(original, planes),
        pixel_array=pixels,
        segmentation_type=seg_type.upper(),
        segment_descriptions=[_description(segment, maker, identity, codes) for segment in segments],
        series_instance_uid=identity.series("seg"),
        series_number=1,
        sop_instance_uid=identity.instance("seg", seg_type, empty_frames),
        instance_number=1,
        fractional_type="OCCUPANCY",
        max_fractional_value=FULL,
        omit_empty_frames=not empty_frames,
        content_label="SEGMENTATION",
        content_description=maker.description("segmentation"),
        series_description=maker.description("segmentation"),
        contributing_equipment=maker.contributing(),
        **maker.equipment(),
    )
    _refer(seg, original, planes)
    _organise(seg, identity.other("dimensions", seg_type, empty_frames))
    slices = {segment.number: [planes[at] for at in _where(pixels, segment.number)] for segment in segments}
    return Built(finish(seg, maker, "seg"), tuple(segments), slices)


def draw(maker: Maker, segmentation: Segmentation, resampled: bool) -> OnSlices:
    """The label map on the original slices; see `on_slices` for what it refuses."""
    return on_slices(segmentation.array, segmentation.affine_ras, maker.original, resampled)


def _pixels(
    maker: Maker, segments: Sequence[Segment], labels: NDArray[np.uint8], planes: Sequence[int], resampled: bool
) -> NDArray[np.uint8]:
    """(N, rows, columns) of segment numbers, or (N, rows, columns, segments) of 0 and 1 where they overlap."""
    shared = [segment for segment in segments if segment.value is None]
    if not shared:
        number = np.zeros(256, np.uint8)
        for segment in segments:
            number[segment.value] = segment.number
        return np.asarray(number[labels])
    segmentation = maker.report.segmentation
    assert segmentation is not None
    lesions = Lesions(segmentation)
    layers = []
    for segment in segments:
        if segment.finding is None or segment.value is not None:
            layers.append((labels == segment.value).astype(np.uint8))
        else:
            mask = Segmentation(lesions.mask(segment.finding), segmentation.affine_ras, {1: segment.name})
            layers.append(draw(maker, mask, resampled).labels[planes])
    return np.stack(layers, axis=-1)


def _where(pixels: NDArray[np.uint8], number: int) -> list[int]:
    """The slices of `_pixels` that a segment is on."""
    layer = pixels[..., number - 1] if pixels.ndim == 4 else pixels == number
    return [int(at) for at in np.flatnonzero(layer.any(axis=(1, 2)))]


def _description(segment: Segment, maker: Maker, identity: Identity, codes: Codes) -> SegmentDescription:
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription

    what = property_of(segment.name, codes)
    site = site_of(codes)
    finding = segment.finding
    return SegmentDescription(
        segment_number=segment.number,
        segment_label=segment.name[:64],
        segmented_property_category=what.category,
        segmented_property_type=what.kind,
        algorithm_type="AUTOMATIC",
        algorithm_identification=maker.algorithm(),
        tracking_id=None if finding is None else finding.id,
        tracking_uid=None if finding is None else identity.tracking(finding),
        anatomic_regions=None if site is None else [site],
        display_color=CIELabColor.from_rgb(*wording.rgb(segment.number - 1)),
    )


def _refer(seg: Dataset, original: Original, planes: Sequence[int]) -> None:
    """Point at the images the slices are in: every image of the volume as a source, each frame at its own."""
    references = [reference(*instance) for instance in original.instances]
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedInstanceSequence = original.series_uid, references
    seg.SourceImageSequence, seg.ReferencedSeriesSequence = references, [series]
    by_placeholder = {placeholder(n): original.planes[n] for n in planes}
    for frame in seg.PerFrameFunctionalGroupsSequence:
        for derivation in frame.DerivationImageSequence:
            for image in derivation.SourceImageSequence:
                plane = by_placeholder.get(str(image.ReferencedSOPInstanceUID))
                if plane is None:
                    continue  # segments on one slice share the item, which has been seen to
                image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = (
                    plane.sop_class_uid,
                    plane.sop_instance_uid,
                )
                image.SpatialLocationsPreserved = "YES" if plane.whole else "NO"
                if plane.frame is not None:
                    image.ReferencedFrameNumber = plane.frame


def _organise(seg: Dataset, uid: str) -> None:
    """Replace the random UID of the dimensions by one that is the same each time."""
    for item in [*seg.DimensionIndexSequence, *seg.DimensionOrganizationSequence]:
        item.DimensionOrganizationUID = uid
