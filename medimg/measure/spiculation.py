"""Spiculation: how much of a nodule's surface sends strands into the lung around it."""

from __future__ import annotations

import numpy as np

from medimg.measure.distance import box_around, cubes_in, depth_mm, within_mm
from medimg.measure.outline import Outline

BODY_DEPTH = 0.5
"""The body is the nodule opened with a ball of this part of its largest depth: without its spicules."""

FROM_MM, TO_MM = 1.5, 3.0
"""The layer about the body in which strands are counted: past the blur of its edge, before they thin out."""

STRAND_SHARE = 0.25
"""A strand is denser than lung by this part of the nodule's contrast; thin ones are blurred."""

WALL_MM = 2.0
"""Nothing is counted this near to a chest wall, diaphragm or mediastinum."""


def spiculation_index(found: Outline) -> float | None:
    """Share (0..1) of the layer FROM_MM to TO_MM outside the nodule's body that strands fill; None without lung there.

    0 for a smooth nodule in plain lung. n straight spicules of radius s on a sphere of radius R give about
    n s^2 / (4 (R + 2.25)^2). Vessels that lead to the nodule count too: it is a measure of what is seen, not a reading.
    """
    local, step = found.local, found.local.step_mm
    depth = depth_mm(found.mask, step)
    radius = BODY_DEPTH * float(depth.max())
    body = within_mm(depth > radius, radius, step)
    layer = within_mm(body, TO_MM, step) & ~within_mm(body, FROM_MM, step) & local.inside
    if found.wall is not None and layer.any():
        box = box_around(layer, cubes_in(WALL_MM, step))
        layer[box] &= ~within_mm(found.wall[box], WALL_MM, step)
    if not layer.any():
        return None
    threshold = found.levels.lung + STRAND_SHARE * (found.levels.nodule - found.levels.lung)
    return float(np.count_nonzero(layer & (local.smooth > threshold)) / np.count_nonzero(layer))
