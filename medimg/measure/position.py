"""Where in the lungs a nodule lies: side, height, and distance to the pleura."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from medimg import geometry
from medimg.inference.roi import DILATION_MM, LungRegion
from medimg.measure.outline import Outline

SLAB_MM = 20.0
"""Half thickness of the axial slab about the nodule in which the lungs' sides are told apart."""

BIN_MM = 4.0
"""Width of the bins along the left-right axis: two voxels of the coarse mask."""

VALLEY = 0.5
"""Between two lungs the mask is at most this part of the smaller one's peak."""

EXTREMES = (1.0, 99.0)
"""Percentiles of the lung's height that stand for base and apex: a stray voxel does not move them."""

ZONES = ("lower", "middle", "upper")
"""Thirds of the lung's height, from the base."""


@dataclass(frozen=True)
class LungMap:
    """The lungs of one scan, to look positions up in."""

    region: LungRegion

    @cached_property
    def points(self) -> geometry.Points:
        """Centres of the mask's voxels, (N, 3) RAS mm."""
        return geometry.to_world(self.region.affine_ras, np.argwhere(self.region.mask))

    def midline_mm(self, height: float) -> float | None:
        """Where between the lungs (x, RAS mm) the mask is thinnest at height z, None where they are not apart."""
        slab = self.points[np.abs(self.points[:, 2] - height) <= SLAB_MM][:, 0]
        if not slab.size:
            return None
        edges = np.arange(slab.min(), slab.max() + BIN_MM, BIN_MM)
        counts, edges = np.histogram(slab, bins=edges if len(edges) > 1 else 1)
        middle = len(counts) // 2
        if middle == 0:
            return None
        # the valley lies in the middle half, a peak on each side of it
        quarter = max(1, len(counts) // 4)
        at = quarter + int(counts[quarter : len(counts) - quarter].argmin())
        peak = min(counts[:at].max(initial=0), counts[at:].max(initial=0))
        return None if counts[at] > VALLEY * peak else float(edges[at] + edges[at + 1]) / 2

    def depth_mm(self, points_ras: geometry.Points) -> float:
        """Smallest distance of the points (N, 3) to the lung's own border; 0 where one lies outside. Good to 2 mm."""
        return max(0.0, float(self.region.depth_mm(points_ras).min()) - DILATION_MM)


def position(found: Outline, lungs: LungMap | None) -> dict[str, Any]:
    """Side, zone, height and distance to the pleura of an outlined nodule; None for what cannot be known.

    A nodule's pleura is the wall that `wall` found beside it, to the cube; more than a few millimetres away it is the
    border of the lung mask, good to 2 mm. Fissures are not seen, so no lobe is claimed.
    """
    nodule = geometry.to_world(found.local.affine_ras, np.argwhere(found.mask))
    distance = _to_wall(found)
    if distance is None and lungs is not None:
        distance = lungs.depth_mm(nodule)
    return {
        **_place(nodule.mean(axis=0), lungs),
        "pleura_distance_mm": None if distance is None else round(distance, 1),
        "pleural_contact": None if distance is None else distance == 0,
    }


def _place(center: geometry.Points, lungs: LungMap | None) -> dict[str, Any]:
    nowhere: dict[str, Any] = {"side": None, "zone": None, "height_share": None}
    middle = None if lungs is None else lungs.midline_mm(float(center[2]))
    if lungs is None or middle is None:
        return nowhere
    right = bool(center[0] > middle)
    own = lungs.points[(lungs.points[:, 0] > middle) == right][:, 2]
    base, apex = np.percentile(own, EXTREMES)
    share = float(np.clip((center[2] - base) / max(apex - base, 1.0), 0.0, 1.0))
    zone = ZONES[min(int(share * len(ZONES)), len(ZONES) - 1)]
    return {"side": "right" if right else "left", "zone": zone, "height_share": round(share, 3)}


def _to_wall(found: Outline) -> float | None:
    """Smallest distance from the nodule's surface to the wall's; 0 where they touch, None without a wall near."""
    from scipy import ndimage

    if found.wall is None or not found.wall.any():
        return None
    away = ndimage.distance_transform_edt(~found.wall, sampling=found.local.step_mm)
    # neighbours' centres are a cube apart, and a cut may leave one between them
    gap = float(away[found.mask].min()) - found.local.step_mm
    return gap if gap > found.local.step_mm else 0.0
