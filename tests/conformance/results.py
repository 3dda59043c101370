"""DICOM results of the phantoms: a report with a label map, and what a SEG says, read without medimg's own code."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from medimg import geometry
from medimg.measure import common
from medimg.report.dicom.build import DicomOptions, DicomResults, build_dicom
from medimg.results import Finding, Report, Segmentation
from medimg.study import Volume

CODES = {"site": ["SCT", "39607008", "Lung"], "finding": ["SCT", "27925004", "Nodule"]}

ROUNDING_MM = 0.02
"""Positions are decimal strings, and phantoms may jitter by a hundredth."""


def labelled(volume: Volume) -> Report:
    """A report of two findings, each with a label of its own; nothing about them is symmetric."""
    labels = np.zeros(volume.shape, np.uint8)
    i, j, k = volume.shape
    labels[i // 4 : i // 2, j // 5 : j // 2, : max(k // 2, 1)] = 1
    labels[i // 4, j // 2 : j - 1, k - 1] = 2
    labels[i - 1, j - 1, k // 2] = 2
    findings = [_finding(labels, value, volume) for value in (1, 2)]
    return Report(
        pipeline={"name": "lung_nodule", "version": "0.2.0", "sha256": "ab" * 32},
        inputs=[{"role": "ct", "path": "/scan", "sha256": volume.source.sha256}],
        findings=findings,
        segmentation=Segmentation(labels, volume.affine_ras, {1: "nodule-1", 2: "nodule-2"}),
        provenance={"started": "2026-01-02T10:15:00+00:00", "codes": CODES},
    )


def _finding(labels: NDArray[np.uint8], value: int, volume: Volume) -> Finding:
    voxels = np.argwhere(labels == value)
    return Finding(
        id=f"nodule-{value}",
        label="nodule",
        center_lps_mm=common.centroid_lps_mm(voxels, volume.affine_ras),
        diameter_mm=4.0 + value,
        volume_mm3=common.volume_mm3(voxels, volume.affine_ras),
        box_lps_mm=common.box_lps_mm(voxels, volume.affine_ras),
        probability=0.75,
        segment=value,
        measurements={
            "long_axis_mm": 6.5,
            "long_axis_ends_lps_mm": [1.0, 2.0, 3.0, 5.0, 7.0, 3.0],
            "mean_hu": -31.5,
            "p90_hu": 12.0,
            "touches_border": True,
            "attenuation": "part-solid",
            "novel_index": 0.25,
            "novel_parts": {"core_mm3": 3.0, "rim_mm3": None},
        },
    )


def build(volume: Volume, kinds: tuple[str, ...] = ("seg", "sr"), **options: Any) -> DicomResults:
    """The DICOM results of `labelled`; every one that was asked for, and no complaint."""
    results = build_dicom(labelled(volume), {"ct": volume}, kinds, DicomOptions(**options))
    assert results.failed == [], results.failed
    return results


def points_of_labels(report: Report, value: int) -> NDArray[np.float64]:
    """LPS mm of every voxel of a label, sorted, (N, 3)."""
    segmentation = report.segmentation
    assert segmentation is not None
    voxels = np.argwhere(segmentation.array == value)
    return in_order(geometry.to_world(geometry.swap_ras_lps(segmentation.affine_ras), voxels))


def points_of_segment(seg: pydicom.Dataset, number: int) -> NDArray[np.float64]:
    """LPS mm of every pixel of a segment, sorted, (N, 3): by the equation of PS3.3 section C.7.6.2.1.1."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    row, column = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    down, across = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    pixels = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    found = [np.zeros((0, 3))]
    for frame, groups in zip(pixels, seg.PerFrameFunctionalGroupsSequence, strict=True):
        r, c = np.nonzero(frame == number if seg.SegmentationType == "LABELMAP" else frame)
        identified = groups.get("SegmentIdentificationSequence") or shared.get("SegmentIdentificationSequence")
        if seg.SegmentationType == "LABELMAP" or identified[0].ReferencedSegmentNumber == number:
            place = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
            found.append(place + c[:, None] * row * across + r[:, None] * column * down)
    return in_order(np.concatenate(found))


def in_order(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points sorted by their coordinates to a tenth of a millimetre."""
    return points[np.lexsort(np.round(points, 1).T)]


def assert_same_points(one: NDArray[np.float64], other: NDArray[np.float64], tolerance_mm: float) -> None:
    """Every point of one has its partner in the other."""
    assert one.shape == other.shape
    distance = np.linalg.norm(one[:, None] - other[None], axis=2)
    assert distance.min(axis=0).max() <= tolerance_mm
    assert distance.min(axis=1).max() <= tolerance_mm


def tool(name: str) -> str:
    """A program of dicom3tools, dcmtk or dcmqi; the test is skipped where it is not installed."""
    path = shutil.which(name) or shutil.which(name, path=sysconfig.get_path("scripts")) or _of_dcmqi(name)
    if path is None:
        pytest.skip(f"{name} is not installed; make setup tools installs it")
    return path


def _of_dcmqi(name: str) -> str | None:
    """dcmqi keeps its programs in its package, which may lie in a borrowed environment without scripts."""
    try:
        import dcmqi
    except ImportError:
        return None
    path = Path(dcmqi.__file__).parent / "bin" / name
    return str(path) if path.is_file() else None


def errors_of(path: Path) -> list[str]:
    """The Error lines of dciodvfy."""
    done = subprocess.run([tool("dciodvfy"), "-new", path], capture_output=True, text=True, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


def run(name: str, *arguments: str | Path) -> str:
    """What a tool prints; it must end well."""
    done = subprocess.run([tool(name), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout
