"""The extent of one lung nodule, grown from a detection.

Method, in mm on a grid of small cubes so that orientation and slice thickness do not matter:

1. The boundary is the half maximum between the nodule and the lung around it (`levels`). Both are local, so
   ground glass has a boundary too; a rim of ground glass about a solid core moves the boundary out to its own edge.
2. Chest wall, diaphragm and mediastinum are cut off along the pleura as it runs beside the nodule (`wall`).
3. The connected part that holds the detection. A part that stays within the ball about the detection is the nodule;
   from one that does not, vessels are cut by the weakest erosion after which nearly all is near the detection, and
   the erosion undone (Kuhnigk et al., IEEE TMI 2006;25:417-434). What no erosion frees ends at NEAR_RADII.
4. Its volume by the share of nodule in the blurred cubes of its edge, and the edge moved to agree (`partial`).

Constants without another source were chosen on phantoms and on half of 98 LIDC-IDRI nodules (docs/measurements.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from medimg import geometry
from medimg.measure.balls import SMALL_MM, two_balls
from medimg.measure.distance import depth_mm, within_mm
from medimg.measure.levels import Levels, levels
from medimg.measure.local import Field, Local, Mask, local_cubes
from medimg.measure.partial import Edge, edge_of
from medimg.measure.rim import rim_levels
from medimg.measure.wall import Wall, wall_of
from medimg.study import Volume

BALL_RADII = 2.0
"""Radius of the ball the nodule may fill, in detected radii (so one detected diameter)."""

NEAR_RADII = 1.25
"""What hangs together with vessels or wall ends here, in detected radii: room for a detector's error."""

MAX_OUTSIDE = 0.2
"""Free of vessels and wall: what leads further out is at most this part of what is near."""

EROSION_STEPS = 8
"""How many strengths of cutting are tried."""

MAX_EROSION = 0.5
"""The strongest, as a part of the largest depth in the nodule."""

MIN_RADIUS_MM = 1.5
"""Detections smaller than 3 mm (micronodules) are looked at as if they were 3 mm."""

EDGE_REACH_MM = 3.0
"""The cube reaches this much further than the ball, for the edge to fade out."""

SHEET_RADII = 0.125
"""Tissue thinner than twice this, in detected radii, along a wall that was cut off is the wall's roughness."""

WALL_REACH_MM = 9.0
"""The cube reaches this much further than the detected radius, for the pleura beside it to be fitted."""


@dataclass(frozen=True)
class Outline:
    """A nodule on its cube. mask: (N, N, N). wall: the dense tissue that was cut off, None where there is none.

    levels: those of the outline that holds all of the nodule. edge: the sub-voxel surface and volume.
    core: the solid part, where it was found as a ball (`balls`) that blur hides from any threshold.
    """

    local: Local
    mask: Mask
    wall: Mask | None
    levels: Levels
    edge: Edge
    core: Mask | None = None


def outline(volume: Volume, center_ras: geometry.Points, diameter_mm: float) -> Outline | None:
    """The nodule of about `diameter_mm` at `center_ras` (3,) of a CT in HU.

    None when nothing there stands out from the lung or from the wall beside it, or the centre lies outside the scan.
    """
    radius = max(float(diameter_mm) / 2.0, MIN_RADIUS_MM)
    reach = max(BALL_RADII * radius + EDGE_REACH_MM, radius + WALL_REACH_MM)
    local = local_cubes(volume, center_ras, radius, reach)
    found = None if local is None else levels(local, radius)
    if local is None or found is None:
        return None
    drawn = _drawn(local, found, radius)
    if drawn is None:
        return None
    mask, wall = drawn
    if radius <= SMALL_MM and wall is None:
        balls = two_balls(volume, local, mask, found, center_ras, radius)
        if balls is not None:
            ball = balls.edge(local)
            return Outline(local, ball.mask, None, balls.levels, ball, balls.core(local))
    rim = rim_levels(local, mask, found, radius, BALL_RADII * radius)
    wider = None if rim is None else _drawn(local, rim, radius)
    if rim is not None and wider is not None and np.count_nonzero(wider[0]) > np.count_nonzero(mask):
        found, (mask, wall) = rim, wider
    edge = edge_of(local, mask, found, wall)
    if edge is None:
        return None
    return Outline(local, edge.mask, None if wall is None else wall.mask, found, edge)


def _drawn(local: Local, found: Levels, radius: float) -> tuple[Mask, Wall | None] | None:
    """Steps 2 and 3 at one pair of levels: mask and wall."""
    from scipy import ndimage

    dense = (local.smooth >= found.threshold) & local.inside
    wall = wall_of(dense, local, radius, found)
    ball = local.distance <= BALL_RADII * radius
    candidates = dense & ball if wall is None else _without_sheets(dense & ball & ~wall.mask, local, radius)
    if not (candidates & (local.distance <= radius)).any():
        return None
    connected = _component_at(candidates, _nearest(candidates, local.distance))
    mask = np.asarray(ndimage.binary_fill_holes(_cut_free(connected, local, radius)))
    return mask, wall


def _without_sheets(candidates: Mask, local: Local, radius: float) -> Mask:
    """Opened with a ball of SHEET_RADII: without what roughness of the pleura leaves along the cut."""
    reach = SHEET_RADII * radius
    # thinner than a cube there is nothing to open, and what is a sheet altogether is kept
    if reach < local.step_mm:
        return candidates
    core = depth_mm(candidates, local.step_mm) > reach
    return candidates & within_mm(core, reach, local.step_mm) if core.any() else candidates


def _nearest(mask: Mask, distance: Field) -> tuple[int, ...]:
    """The cube of a mask (not empty) that is nearest to the detection."""
    at = int(np.where(mask, distance, np.inf).argmin())
    return tuple(int(v) for v in np.unravel_index(at, mask.shape))


def _component_at(mask: Mask, seed: tuple[int, ...]) -> Mask:
    """The part of `mask` that is connected with `seed` by faces."""
    from scipy import ndimage

    labels, _ = ndimage.label(mask)
    return np.asarray(labels == labels[seed])


def _cut_free(mask: Mask, local: Local, radius: float) -> Mask:
    """Step 3."""
    # a step between face neighbours is one cube: whatever leaves the ball has a cube here
    leaves = local.distance > BALL_RADII * radius - local.step_mm
    if not (mask & leaves).any():
        return mask
    near = local.distance <= NEAR_RADII * radius
    part = next((cut for cut in _openings(mask, local, radius) if _is_free(cut, near)), None)
    if part is None or (part & leaves).any():
        part = (mask if part is None else part) & near
        return _component_at(part, _nearest(part, local.distance))
    return part


def _is_free(part: Mask, near: Mask) -> bool:
    inside = int(np.count_nonzero(part & near))
    return inside > 0 and int(np.count_nonzero(part)) - inside <= MAX_OUTSIDE * inside


def _openings(mask: Mask, local: Local, radius: float) -> Iterator[Mask]:
    """The mask opened ever more strongly; each keeps the part deepest near the detection."""
    depth = depth_mm(mask, local.step_mm)
    inner = np.where(local.distance <= radius, depth, 0.0)
    seed = tuple(int(v) for v in np.unravel_index(int(inner.argmax()), inner.shape))
    for erosion in np.linspace(0.0, MAX_EROSION * float(inner.max()), EROSION_STEPS + 1)[1:]:
        core = _component_at(depth > erosion, seed)
        yield mask & within_mm(core, erosion, local.step_mm)
