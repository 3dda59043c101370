"""Radiomics of outlined findings by MIRP, the implementation kept by an author of the standard (IBSI).

Definitions: Zwanenburg et al., Radiology 2020;295:328-338 (Image Biomarker Standardisation Initiative). Grey levels are
binned as pyradiomics bins them (van Griethuysen et al., Cancer Res 2017;77:e104-e107), so that figures can be laid
beside it. MIRP: Zwanenburg and Loeck, JOSS 2024;9:6413. Optional: pip install "medimg[radiomics]".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.errors import UsageError
from medimg.measure.lesion import lesion_mask
from medimg.results import Finding, Segmentation
from medimg.study import Volume

SCHEMA = "medimg.radiomics/1"

MARGIN_MM = 10.0
"""The scan is cut to the finding and this much around it: what interpolation needs."""

MIN_VOXELS = 8
"""Of fewer voxels no texture can be computed."""

CUBE_MM = 1.0
"""The grid textures are computed on: pyradiomics' example for lung CT; also the spacing MIRP assumes of arrays."""

HALF = 0.5
"""A cube belongs to the finding when at least this part of it does (IBSI, section on interpolation)."""

CT_SETTINGS: dict[str, Any] = {
    # bins that begin at the lowest value, as pyradiomics has them, are none of IBSI's
    "ibsi_compliant": False,
    "base_discretisation_method": "fixed_bin_size_pyradiomics",
    "base_discretisation_bin_width": 25.0,
}
"""Bins of 25 HU, pyradiomics' default."""

OTHER_SETTINGS: dict[str, Any] = {
    **CT_SETTINGS,
    "intensity_normalisation": "standardisation",
    "intensity_normalisation_standardisation_scale": 100.0,
}
"""MR has no unit: values of the excerpt to mean 0 and standard deviation 100 first (pyradiomics' normalize)."""


def check_radiomics() -> None:
    """Raise UsageError where MIRP is not installed: before a scan is searched for minutes."""
    try:
        metadata.version("mirp")
    except metadata.PackageNotFoundError as error:
        raise UsageError(
            'radiomics need the package mirp (Python 3.11 or newer); pip install "medimg[radiomics]", or leave '
            "--radiomics away"
        ) from error


def radiomics(
    findings: Sequence[Finding], segmentation: Segmentation | None, volumes: Mapping[str, Volume]
) -> dict[str, Any]:
    """The `medimg.radiomics/1` document: for each finding and role the features, or why there are none.

    volumes: role -> scan; one on another grid than the segmentation is left out with a reason.
    """
    check_radiomics()
    entries = [
        {"id": finding.id, "role": role, **_of_finding(finding, segmentation, volume)}
        for finding in findings
        for role, volume in volumes.items()
    ]
    settings = {role: {"cube_mm": CUBE_MM, **settings_of(volume)} for role, volume in volumes.items()}
    return {"schema": SCHEMA, "mirp": metadata.version("mirp"), "settings": settings, "findings": entries}


def settings_of(volume: Volume) -> dict[str, Any]:
    """MIRP's settings for a scan."""
    return CT_SETTINGS if volume.modality == "CT" else OTHER_SETTINGS


def features(volume: Volume, mask: NDArray[np.bool_]) -> dict[str, float | None]:
    """MIRP's features of the voxels of `mask` (I, J, K) by MIRP's names; None for what is not defined for them."""
    from mirp import extract_features

    image, region = _in_cubes(volume, mask)
    # as arrays: from files MIRP reads with ITK, which crashes in a process that holds SimpleITK
    (table,) = extract_features(
        image=image,
        mask=region,
        image_modality="ct" if volume.modality == "CT" else "mr",
        base_feature_families="all",
        **settings_of(volume),
    )
    row = table.iloc[0]
    known = {str(name): row[name] for name in table.columns[_first_feature(table.columns) :]}
    return {name: float(value) if np.isfinite(value) else None for name, value in known.items()}


def _of_finding(finding: Finding, segmentation: Segmentation | None, volume: Volume) -> dict[str, Any]:
    if segmentation is None or volume.array.shape != segmentation.array.shape:
        return {"features": None, "why_not": "the scan is on another grid than the label map"}
    mask = lesion_mask(segmentation, finding)
    if mask is None or np.count_nonzero(mask) < MIN_VOXELS:
        return {"features": None, "why_not": f"not outlined, or by fewer than {MIN_VOXELS} voxels"}
    return {"features": features(volume, mask), "why_not": None}


def _in_cubes(volume: Volume, mask: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The excerpt about the mask in cubes of CUBE_MM, as (slices, rows, columns): cubic splines, the mask linear."""
    from scipy import ndimage

    spacing = volume.spacing_mm
    inside = np.argwhere(mask)
    margin = np.ceil(MARGIN_MM / spacing).astype(np.int64)
    start = np.maximum(inside.min(axis=0) - margin, 0)
    stop = np.minimum(inside.max(axis=0) + 1 + margin, mask.shape)
    window = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    step = CUBE_MM / spacing
    shape = tuple(int(n) for n in np.floor((stop - start - 1) / step) + 1)
    image = np.asarray(volume.array[window], dtype=np.float32)
    resampled = image if np.allclose(step, 1) else ndimage.affine_transform(image, step, output_shape=shape, order=3)
    share = ndimage.affine_transform(mask[window].astype(np.float32), step, output_shape=shape, order=1)
    return resampled.transpose(2, 1, 0), (share >= HALF).astype(np.uint8).transpose(2, 1, 0)


def _first_feature(columns: Sequence[str]) -> int:
    """Where MIRP's columns about the sample end: its features begin with the name of their family."""
    return next(n for n, name in enumerate(columns) if str(name).startswith("morph_"))
