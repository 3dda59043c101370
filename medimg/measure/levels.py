"""The densities an outline is drawn between: the nodule's own, a ground-glass rim's, and that of the lung around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medimg.measure.local import Field, Local, Mask

CORE_RADII, CORE_QUANTILE = 0.6, 0.75
"""The nodule's own level is this quantile within so many detected radii of the centre: that of a solid core where there
is one, whatever lies about it."""

MAX_CORE_HU = 400.0
"""Calcium in the core does not raise the boundary further: half way to lung stays below fat and all soft tissue."""

LUNG_MAX_HU = -500.0
"""Brighter voxels around the nodule are vessels or wall, not lung (lung masks are cut at -400 to -500 HU)."""

DEFAULT_LUNG_HU = -850.0
"""Normal inflated lung, used where too little of it is near the nodule."""

MIN_LUNG_FRACTION = 0.03
"""Less lung than this in the shell around the nodule gives no level."""

MIN_CONTRAST_HU = 100.0
"""Half of the lightest ground-glass (about -700 HU against -850..-900); below this there is no nodule to outline."""

HALO_FROM_MM, HALO_TO_MM = 1.25, 2.25
"""Where a rim of ground glass is looked for beyond the half maximum: past most of the blur of the edge (of a contrast
of 900 HU, a Gaussian of 0.8 mm leaves 53 HU at the first and 2 HU at the second)."""

RIM_HU, RIM_SHARE = 110.0, 0.45
"""A rim denser than the lung by so much, in this part of what is neither vessel nor wall, is ground glass..."""

RIM_BELOW = 0.8
"""...where the outline so far has less than this part of the detected diameter. Many solid tumours have a margin as
fuzzy as that, but their detectors, as their readers, do not take it in."""

RIM_QUANTILE = 0.85
"""The rim's level among what is denser than lung in it: above the median, because its outer edge fades."""


@dataclass(frozen=True)
class Levels:
    """HU of the nodule and of the lung about it; is_rim: of its rim of ground glass, which holds a denser core."""

    nodule: float
    lung: float
    is_rim: bool = False

    @property
    def threshold(self) -> float:
        """The boundary, halfway (Kostis et al., IEEE TMI 2003;22:1259-1274)."""
        return (self.nodule + self.lung) / 2


def levels(local: Local, radius_mm: float) -> Levels | None:
    """Levels about a detection of `radius_mm`, or None where they hardly differ."""
    hu, distance = local.smooth, local.distance
    centre = hu[distance <= max(CORE_RADII * radius_mm, local.step_mm)]
    core = min(float(np.quantile(centre, CORE_QUANTILE)), MAX_CORE_HU)
    shell = hu[(distance > 1.2 * radius_mm) & local.inside]
    lung_voxels = shell[shell < min(LUNG_MAX_HU, core)]
    enough = lung_voxels.size > MIN_LUNG_FRACTION * max(shell.size, 1)
    lung = float(np.median(lung_voxels)) if enough else DEFAULT_LUNG_HU
    return None if core - lung < MIN_CONTRAST_HU else Levels(core, lung)


def halo(local: Local, mask: Mask, found: Levels, radius_mm: float) -> Levels | None:
    """Levels of a rim of ground glass around `mask`, the outline at `found`, or None where lung begins at once."""
    from scipy import ndimage

    step = local.step_mm
    away = np.asarray(ndimage.distance_transform_edt(~mask, sampling=step))
    other = (local.smooth >= found.threshold) & ~mask
    rim = (away > HALO_FROM_MM) & (away <= HALO_TO_MM) & local.inside
    if other.any():
        rim &= ndimage.distance_transform_edt(~other, sampling=step) > HALO_FROM_MM
    excess: Field = local.smooth[rim] - np.float32(found.lung)
    if not excess.size:
        return None
    diameter = (6 * np.count_nonzero(mask) / np.pi) ** (1 / 3) * step
    glass = excess[excess > RIM_HU]
    if diameter >= RIM_BELOW * 2 * radius_mm or glass.size < RIM_SHARE * excess.size:
        return None
    return Levels(found.lung + float(np.quantile(glass, RIM_QUANTILE)), found.lung, is_rim=True)
