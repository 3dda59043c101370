"""measure: masks, sizes and measurements for what was found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from medimg.measure import common
from medimg.measure.lesion import lesions, volumes_of_groups
from medimg.measure.nodule import measure_nodule, segment_nodule
from medimg.measure.position import LungMap, position
from medimg.measure.rano import ENHANCING, sum_of_products_mm2
from medimg.results import Finding, Segmentation
from medimg.stages.case import Case
from medimg.study import Volume

MAX_LABELS = 255
"""A uint8 label map holds no more; findings beyond keep their detection without a mask, with a warning."""

DEFAULT_MIN_LESION_MM3 = 100.0
"""Smaller components of a segmentation stay in the label map but are not listed as findings."""


def measure(case: Case, options: dict[str, Any]) -> None:
    """Measure the case's findings: a mask for each detection, or a finding for each segmented lesion."""
    with case.clock.time("measure"):
        # from the numbers that are written: measured again from a report folder, everything is the same
        case.report.findings = [finding.rounded() for finding in case.report.findings]
        if case.pipeline.task == "detection":
            _measure_detections(case)
        else:
            _measure_lesions(case, options)
        case.report.findings = [finding.rounded() for finding in case.report.findings]


def _measure_detections(case: Case) -> None:
    """Give each detection its mask, sizes and position, and the report a label map with one label a finding."""
    volume = case.first
    labels = np.zeros(volume.shape, dtype=np.uint8)
    names: dict[int, str] = {}
    measured = []
    region = case.chest.lungs if case.report.findings else None
    lung_map = None if region is None else LungMap(region)
    for value, finding in enumerate(case.report.findings, start=1):
        outlined = _outlined(volume, finding, labels, value, lung_map) if value <= MAX_LABELS else None
        if outlined is not None:
            names[value] = finding.id
        measured.append(outlined or finding)
    if len(measured) > MAX_LABELS:
        case.report.warnings.append(
            f"only the first {MAX_LABELS} of {len(measured)} findings are outlined: a label map holds no more"
        )
    case.report.findings = measured
    case.report.segmentation = Segmentation(labels, volume.affine_ras, names)
    label = str(case.pipeline.options("infer").get("label", "nodule"))
    case.report.measurements = {f"{label}_count": len(measured)}


def _outlined(
    volume: Volume, finding: Finding, labels: np.ndarray[Any, Any], value: int, lung_map: LungMap | None
) -> Finding | None:
    """Draw the finding's mask into `labels`; None when nothing stands out from the lung there."""
    if finding.diameter_mm is None:
        return None
    nodule = segment_nodule(volume, finding.center_lps_mm, finding.diameter_mm)
    if nodule is None:
        return None
    voxels = nodule.voxels()
    # an earlier, more probable finding keeps the voxels it shares with this one
    free = voxels[labels[tuple(voxels.T)] == 0]
    if not len(free):
        return None
    labels[tuple(free.T)] = value
    measurements = {**measure_nodule(volume, nodule), **position(nodule.outline, lung_map)}
    return replace(
        finding,
        volume_mm3=measurements.pop("volume_mm3"),
        box_lps_mm=common.box_lps_mm(voxels, volume.affine_ras),
        segment=value,
        measurements={**finding.measurements, **measurements},
    )


def _measure_lesions(case: Case, options: dict[str, Any]) -> None:
    """One finding for each connected lesion of the segmentation, and the volumes of the whole label map."""
    segmentation = case.report.segmentation
    if segmentation is None:
        return
    groups = {str(name): tuple(int(value) for value in values) for name, values in options.get("groups", {}).items()}
    minimum = float(options.get("min_volume_mm3", DEFAULT_MIN_LESION_MM3))
    label = str(options.get("label", "lesion"))
    found = lesions(segmentation, groups, minimum, label)
    volumes = volumes_of_groups(segmentation.voxel_counts, groups, segmentation)
    case.report.findings = found
    case.report.measurements = {f"{label}_count": len(found), **volumes}
    if ENHANCING in groups:
        known = volumes[f"{ENHANCING}_mm3"] is not None
        case.report.measurements[f"{ENHANCING}_sum_of_products_mm2"] = sum_of_products_mm2(found) if known else None
