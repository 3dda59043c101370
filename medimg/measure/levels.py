"""The densities an outline is drawn between: the nodule's own, a ground-glass rim's, and that of the lung around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medimg.measure.local import Local

CORE_RADII, CORE_QUANTILE = 0.6, 0.75
"""The nodule's own level is this quantile within so many detected radii of the centre: that of a solid core where there
is one, whatever lies about it."""

MAX_CORE_HU = 100.0
"""Calcium and contrast do not raise the boundary above that of soft tissue."""

SOLID_HU = -300.0
"""From here on tissue is solid: near half way between ground glass (-600 HU) and soft tissue, and the threshold under
which the solid component agrees best with pathology (Cohen et al., Eur Radiol 2016;26:4465-4474)."""

CALCIUM_HU = 200.0
"""From here on a nodule holds calcium (Khan et al., Ann Thorac Med 2010;5:67-79): soft tissue with contrast medium
stays below."""

LUNG_MAX_HU = -500.0
"""Brighter voxels around the nodule are vessels or wall, not lung (lung masks are cut at -400 to -500 HU)."""

DEFAULT_LUNG_HU = -850.0
"""Normal inflated lung, used where too little of it is near the nodule."""

MIN_LUNG_FRACTION = 0.03
"""Less lung than this in the shell around the nodule gives no level."""

MIN_CONTRAST_HU = 100.0
"""Half of the lightest ground-glass (about -700 HU against -850..-900); below this there is no nodule to outline."""


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
