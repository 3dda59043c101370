"""What must hold before a network sees a scan: the things its training took for granted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from medimg.errors import Reason, UnsuitableScanError
from medimg.inference.prepare import require_one_grid
from medimg.pipeline import Pipeline
from medimg.study import CT_AIR_HU, HOUNSFIELD_TYPES, Volume

SKULL_STRIPPED_MIN_ZERO_SHARE = 0.10
"""A skull-stripped brain leaves at least a tenth of any box around it at exactly 0 (25-60 % in shared/data/brain,
cropped to the brain); a whole head has its background noise or skin there."""

SPACING_TOLERANCE = 0.02
"""Relative: 1 mm in a header may read 0.9999 or 1.01; 1.05 mm is another grid than the network was trained on."""

MAX_SLICE_MM = {"CT": 5.0, "MR": 7.0}
"""Thicker slices than medimg's own models were trained or augmented with: results are given with a warning."""


def check_scan(pipeline: Pipeline, volumes: Mapping[str, Volume]) -> list[str]:
    """Raise UnsuitableScanError where the result would be wrong; return warnings where it may be worse."""
    for role, volume in volumes.items():
        wanted = next(entry.modality for entry in pipeline.inputs if entry.role == role)
        if volume.modality is not None and volume.modality != wanted:
            raise UnsuitableScanError(
                Reason.WRONG_MODALITY,
                f"{volume.source.path} is {volume.modality}, {pipeline.name} takes {wanted}; choose another pipeline",
            )
        if wanted == "CT":
            _require_hounsfield(pipeline, volume)
    if len(volumes) > 1:
        require_one_grid(list(volumes.values()))
    if "skull_stripped" in pipeline.options("infer").get("requires", ()):
        _require_skull_stripped(volumes)
    return [warning for volume in volumes.values() for warning in _slice_warnings(volume)][:1]


def check_spacing(name: str, wanted: Sequence[float], volumes: Sequence[Volume]) -> None:
    """Raise UnsuitableScanError for a volume whose voxels are not `wanted` mm, where nothing resamples them."""
    for volume in volumes:
        if not np.allclose(np.sort(volume.spacing_mm), np.sort(wanted), rtol=SPACING_TOLERANCE):
            found = " x ".join(f"{value:.3g}" for value in volume.spacing_mm)
            needed = " x ".join(f"{value:g}" for value in wanted)
            raise UnsuitableScanError(
                Reason.WRONG_SPACING,
                f"{volume.source.path} has voxels of {found} mm, and {name} resamples nothing: "
                f"resample it to {needed} mm first",
            )


def _require_hounsfield(pipeline: Pipeline, volume: Volume) -> None:
    unit = str(volume.source.headers.get("RescaleType") or "")
    if unit not in HOUNSFIELD_TYPES:
        raise UnsuitableScanError(
            Reason.WRONG_MODALITY, f"{volume.source.path} is in {unit}, not HU; choose the series reconstructed in HU"
        )
    low = float(volume.array.min())
    if low > CT_AIR_HU:
        raise UnsuitableScanError(
            Reason.WRONG_MODALITY,
            f"{volume.source.path} holds no value under {CT_AIR_HU:g} (its lowest is {low:g}): "
            f"not a chest CT in HU, which {pipeline.name} takes; choose another pipeline or convert to HU",
        )


def _require_skull_stripped(volumes: Mapping[str, Volume]) -> None:
    for volume in volumes.values():
        share = 1.0 - np.count_nonzero(volume.array) / volume.array.size
        if share < SKULL_STRIPPED_MIN_ZERO_SHARE:
            raise UnsuitableScanError(
                Reason.NOT_SKULL_STRIPPED,
                f"{volume.source.path}: only {share:.0%} of the voxels are 0, so the skull is still there; "
                "skull-strip the contrasts first (background must be 0)",
            )


def _slice_warnings(volume: Volume) -> list[str]:
    limit = MAX_SLICE_MM.get(volume.modality or "", np.inf)
    coarsest = float(volume.spacing_mm.max())
    if coarsest <= limit:
        return []
    return [f"slices {coarsest:.1f} mm apart, more than {limit:g} mm: small findings are missed, sizes are coarse"]
