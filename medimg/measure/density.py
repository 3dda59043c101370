"""What a nodule is made of: solid, part-solid or ground glass by attenuation, its solid component, its calcium."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from medimg.measure.distance import depth_mm, within_mm
from medimg.measure.levels import CALCIUM_HU, SOLID_HU
from medimg.measure.local import Mask
from medimg.measure.outline import Outline

Attenuation = Literal["solid", "part-solid", "ground-glass"]

MIN_SOLID_DEPTH_MM = 0.75
"""Thinner strands in ground glass are vessels."""

MIN_SOLID_MM3 = 4.0
"""Of a sphere of 2 mm; less is no solid component."""

BLUR_MM = 1.5
"""What lies nearer to the solid part may owe its density to blur (as `partial.EDGE_MM`)."""

MIN_GLASS_SHARE = 0.1
"""A nodule with less than this beyond the blur of its solid part is solid."""

MIN_CALCIUM_MM3 = 4.0
"""Less is noise of a sharp kernel."""


@dataclass(frozen=True)
class Density:
    """attenuation, and the cubes that are solid (N, N, N). calcium_mm3: 0 where there is none to speak of.
    solid_hu: the level that bounds the solid part."""

    attenuation: Attenuation
    solid: Mask
    calcium_mm3: float
    solid_hu: float = SOLID_HU


def density(found: Outline) -> Density:
    """Read the attenuation of an outlined nodule."""
    local, mask = found.local, found.mask
    cube = local.step_mm**3
    bright = mask & (local.smooth >= SOLID_HU)
    solid = _without_strands(bright, local.step_mm) if found.core is None else mask & found.core
    calcium = float(np.count_nonzero(mask & (local.smooth >= CALCIUM_HU))) * cube
    calcium = calcium if calcium >= MIN_CALCIUM_MM3 else 0.0
    if np.count_nonzero(solid) * cube < MIN_SOLID_MM3:
        return Density("ground-glass", np.zeros_like(mask), calcium)
    if found.core is not None:
        return Density("part-solid", solid, calcium)
    glass = mask & ~within_mm(solid, BLUR_MM, local.step_mm)
    if np.count_nonzero(glass) < MIN_GLASS_SHARE * np.count_nonzero(mask):
        return Density("solid", mask, calcium)
    return Density("part-solid", solid, calcium)


def _without_strands(solid: Mask, step_mm: float) -> Mask:
    """The parts that a ball of MIN_SOLID_DEPTH_MM enters, whole as far as that ball reaches."""
    core = depth_mm(solid, step_mm) > MIN_SOLID_DEPTH_MM
    return solid & within_mm(core, MIN_SOLID_DEPTH_MM + step_mm, step_mm)
