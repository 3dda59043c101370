"""Detection: the network inside the region of interest, its peaks as findings in LPS mm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from medimg import geometry
from medimg.bundle import Bundle
from medimg.inference.detect import Detection, detections_lps, peaks
from medimg.inference.detect_options import DetectOptions
from medimg.inference.device import Device
from medimg.inference.maps import logit_maps
from medimg.inference.options import Engine
from medimg.inference.prepare import network_input, trained
from medimg.inference.roi import NO_LUNG, Chest, LungRegion
from medimg.progress import Progress, silent
from medimg.results import Finding
from medimg.study import Volume


def find(
    bundle: Bundle,
    chest: Chest,
    options: DetectOptions,
    device: Device,
    progress: Progress = silent,
    engine: Engine | None = None,
) -> tuple[list[Finding], list[str]]:
    """Findings of a one-channel detector (output: heat map logit, log diameter in mm), strongest first, and warnings.

    Their boxes are cubes of the detected diameter; `medimg.measure` replaces them by the outline's.
    """
    volume = chest.volume
    region = chest.lungs if options.roi == "lungs" else None
    searched = volume if region is None else volume.crop(region.start, region.stop)
    image, affine = network_input(bundle, [searched])
    engine = engine or Engine()
    asked = replace(engine, tta=engine.tta or options.flips)
    output = torch.from_numpy(logit_maps(bundle, trained(bundle), image, device, progress, asked))
    found = detections_lps(
        peaks(
            output[0].sigmoid(),
            output[1],
            round(image.shape[1] / output.shape[1]),
            options.threshold,
            voxel_mm=float(geometry.spacing_mm(affine).mean()),
        ),
        affine,
    )
    inside = [detection for detection in found if _within(detection, volume, region)]
    warnings = [NO_LUNG] if options.roi == "lungs" and region is None else []
    return [_finding(rank, detection, options.label) for rank, detection in enumerate(inside, start=1)], warnings


def _within(detection: Detection, volume: Volume, region: LungRegion | None) -> bool:
    """Touching the region searched, and inside the scan: padding is not part of it."""
    point = geometry.lps_to_ras(detection.center_lps_mm)
    if region is not None:
        # the centre of a large nodule on the pleura or the hilum can lie outside the lung, its edge cannot
        return bool(region.distance_mm(point) <= detection.diameter_mm / 2)
    voxel = geometry.to_voxel(volume.affine_ras, point)
    return bool(((voxel > -0.5) & (voxel < np.array(volume.shape) - 0.5)).all())


def _finding(rank: int, detection: Detection, label: str) -> Finding:
    x, y, z = detection.center_lps_mm
    half = detection.diameter_mm / 2
    return Finding(
        id=f"{label}-{rank}",
        label=label,
        center_lps_mm=(x, y, z),
        diameter_mm=detection.diameter_mm,
        volume_mm3=None,
        box_lps_mm=(x - half, y - half, z - half, x + half, y + half, z + half),
        probability=detection.probability,
    )
