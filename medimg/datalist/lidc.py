"""LIDC-IDRI: DICOM series with the XML contours of up to four readers, as the cases of a datalist.

A nodule of 3 mm and more is a stack of contours, drawn on the first pixels outside it; smaller ones and non-nodules
are single points (Armato et al., Med Phys 2011;38:915-931). As in LUNA16, what at least three readers outlined is a
nodule, and everything else is excluded: it counts neither way (Setio et al., Med Image Anal 2017;42:1-13).
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg import files
from medimg.datalist.layouts import Entry, Layout
from medimg.dicom.discover import SeriesHeaders, discover
from medimg.dicom.header import Frame
from medimg.dicom.place import along_normal

MIN_READERS = 3
"""Of four, who must have outlined a nodule."""

RATINGS = (
    "subtlety",
    "internalStructure",
    "calcification",
    "sphericity",
    "margin",
    "lobulation",
    "spiculation",
    "texture",
    "malignancy",
)
"""Of each reader, 1 to 5 or 6."""

UNKNOWN_MM = -1.0
"""Diameter of what was marked by a point: LUNA16's evaluation takes 10 mm."""

ROOT = "LidcReadMessage"


@dataclass(frozen=True)
class Outline:
    """One reader's nodule: centre of volume in LPS mm, diameter of equal volume in mm, ratings where given."""

    reader: int
    centre: NDArray[np.float64]
    diameter_mm: float
    ratings: dict[str, int]


def lidc_folder(root: Path, base: Path) -> Layout | None:
    """DICOM series under `root` and the XML files that read them; None when there is no such XML file."""
    readings = dict(_readings(root))
    if not readings:
        return None
    layout = Layout("LIDC-IDRI", [], modality={"0": "CT"}, labels={"0": "nodule"})
    by_uid = {series.series_uid: series for series in discover(root).series}
    for uid, (path, document) in readings.items():
        if uid not in by_uid:
            layout.left_out.append(f"{path}: no DICOM series {uid}")
            continue
        entry = {"id": uid, "image": files.relative(_folder(by_uid[uid]), base), **_patient(by_uid[uid])}
        layout.training.append(entry | _findings(document, by_uid[uid]))
    return layout


def _readings(root: Path) -> Iterator[tuple[str, tuple[Path, ET.Element]]]:
    """Series UID -> XML file and its content."""
    for path in sorted(root.rglob("*.xml")):
        try:
            document = ET.parse(path).getroot()
        except (OSError, ET.ParseError):
            continue
        if not document.tag.endswith(ROOT):
            continue
        for element in document.iter():
            element.tag = element.tag.rpartition("}")[2]
        uid = document.findtext("ResponseHeader/SeriesInstanceUid", "").strip()
        yield uid, (path, document)


def _folder(series: SeriesHeaders) -> Path:
    return series.frames[0].path.parent


def _patient(series: SeriesHeaders) -> dict[str, str]:
    import pydicom

    header = pydicom.dcmread(series.frames[0].path, stop_before_pixels=True, specific_tags=["PatientID"])
    return {"patient": str(header.get("PatientID") or series.study_uid)}


def _findings(document: ET.Element, series: SeriesHeaders) -> Entry:
    """box, label, ratings and excluded_box of a reading."""
    frames = {frame.sop_uid: frame for frame in series.frames if frame.position and frame.orientation}
    step = _slice_step(list(frames.values()))
    outlines, points = [], []
    for reader, session in enumerate(document.iter("readingSession")):
        for nodule in session.iter("unblindedReadNodule"):
            outline = _outline(reader, nodule, frames, step)
            if outline is None:
                points += _points(nodule.find("roi"), "edgeMap", frames)
            else:
                outlines.append(outline)
        points += [point for mark in session.iter("nonNodule") for point in _points(mark, "locus", frames)]
    groups = merged(outlines)
    agreed = [group for group in groups if len({outline.reader for outline in group}) >= MIN_READERS]
    others = [group for group in groups if len({outline.reader for outline in group}) < MIN_READERS]
    return {
        "box": [_box(group) for group in agreed],
        "label": [0] * len(agreed),
        "ratings": [{name: [o.ratings[name] for o in g if name in o.ratings] for name in RATINGS} for g in agreed],
        "readers": [len({outline.reader for outline in group}) for group in agreed],
        "excluded_box": [*map(_box, others), *([*np.round(point, 3).tolist(), *[UNKNOWN_MM] * 3] for point in points)],
    }


def merged(outlines: Sequence[Outline]) -> list[list[Outline]]:
    """Outlines of one nodule: chains whose centres lie closer than the larger radius of each two."""
    groups: list[list[Outline]] = []
    for outline in outlines:
        touching = [group for group in groups if any(_same(outline, other) for other in group)]
        groups = [group for group in groups if group not in touching]
        groups.append([*(other for group in touching for other in group), outline])
    return groups


def _same(a: Outline, b: Outline) -> bool:
    return bool(np.linalg.norm(a.centre - b.centre) < max(a.diameter_mm, b.diameter_mm) / 2)


def _box(group: Sequence[Outline]) -> list[float]:
    """Mean centre, and a cube of the mean diameter: [x, y, z, d, d, d]."""
    centre = np.mean([outline.centre for outline in group], axis=0)
    diameter = float(np.mean([outline.diameter_mm for outline in group]))
    return [*(round(float(value), 3) for value in centre), *[round(diameter, 3)] * 3]


def _outline(reader: int, nodule: ET.Element, frames: dict[str, Frame], step: float) -> Outline | None:
    """One reader's contours as a volume; None for a point."""
    areas, centres = [], []
    for roi in nodule.iter("roi"):
        frame = frames.get(roi.findtext("imageSOP_UID", "").strip())
        pixels = _pixels(roi, "edgeMap")
        if frame is None or len(pixels) < 3:
            continue
        area, centroid = polygon(pixels)
        if not area:
            continue
        assert frame.pixel_spacing is not None
        # a contour within another, of what is not nodule, takes away
        sign = 1 if roi.findtext("inclusion", "TRUE").strip().upper() == "TRUE" else -1
        areas.append(sign * area * math.prod(frame.pixel_spacing))
        centres.append(_lps(frame, centroid[None])[0])
    volume = sum(areas) * step
    if volume <= 0:
        return None
    centre = np.average(centres, axis=0, weights=areas)
    given = nodule.find("characteristics")
    ratings = {n: int(given.findtext(n, "0")) for n in RATINGS if given.findtext(n)} if given is not None else {}
    return Outline(reader, centre, (6 * volume / math.pi) ** (1 / 3), ratings)


def polygon(corners: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Area and centroid of a closed polygon (N, 2) by the shoelace formula; area 0 for a line."""
    x, y = corners.T
    following = np.roll(corners, -1, axis=0)
    cross = x * following[:, 1] - following[:, 0] * y
    total = cross.sum() / 2
    if not total:
        return 0.0, corners.mean(axis=0)
    return abs(float(total)), ((corners + following) * cross[:, None]).sum(axis=0) / (6 * total)


def _points(held: ET.Element | None, name: str, frames: dict[str, Frame]) -> list[NDArray[np.float64]]:
    """Where a point was set, in LPS mm; [] when its slice is not there."""
    if held is None:
        return []
    frame = frames.get(held.findtext("imageSOP_UID", "").strip())
    pixels = _pixels(held, name)
    return [] if frame is None or not len(pixels) else [_lps(frame, pixels.mean(axis=0)[None])[0]]


def _pixels(holder: ET.Element, name: str) -> NDArray[np.float64]:
    """(N, 2): column and row of each point, the first pixel 0, 0."""
    points = [(float(e.findtext("xCoord", "nan")), float(e.findtext("yCoord", "nan"))) for e in holder.iter(name)]
    return np.array(points, np.float64).reshape(-1, 2)


def _lps(frame: Frame, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns and rows (N, 2) of a slice to LPS mm (N, 3) (PS3.3 section C.7.6.2.1.1)."""
    axes = np.array(frame.orientation, np.float64).reshape(2, 3)
    between_rows, between_columns = frame.pixel_spacing or (math.nan, math.nan)
    steps = pixels * (between_columns, between_rows)
    return np.asarray(np.array(frame.position) + steps @ axes)


def _slice_step(frames: list[Any]) -> float:
    depth = np.unique(np.round(along_normal(frames), 3))
    return float(np.median(np.diff(depth))) if len(depth) > 1 else 0.0
