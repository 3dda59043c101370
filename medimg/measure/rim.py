"""A rim of ground glass about a solid core: whether there is one, and how dense it is.

A rim of 2 mm is no plateau of density, but a shoulder that blur has rounded off. So the mean density at each distance
from the core's surface is compared with two balls in lung, one in the other, as the scan would blur them, and with one
ball whose edge is as soft as it likes. Only where two describe it far better is there a rim.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from medimg.measure.distance import depth_mm, within_mm
from medimg.measure.levels import SOLID_HU, Levels
from medimg.measure.local import Local, Mask

CLEAR_MM = 1.5
"""What is nearer to other dense tissue (vessels, wall) is left out."""

MIN_RIM_HU, MIN_RIM_MM = 110.0, 1.0
"""A rim denser than lung by less (half of the lightest ground glass), or thinner, is what a soft kernel leaves."""

MAX_CORE_SHARE = 0.8
"""...and only looked for where the core has at most this part of the detected diameter: many solid tumours fade out
over millimetres, but their detectors, as their readers, do not take that in."""

MAX_RATIO = 0.5
"""Two balls leave at most this part of the squares that one leaves; about a solid ball they leave more than one."""

SOFTEST = 1.5
"""The one ball's edge is up to so many times as wide as the scan's blur: real margins are not sharp."""

MIN_POINTS = 8
"""Twice the parameters of the two balls."""

STARTS = ((-650.0, 1.0), (-500.0, 2.0), (-700.0, 0.5))
"""Density and thickness of the rim from which the fit starts; the best of them counts."""

Line = NDArray[np.float64]


@dataclass(frozen=True)
class Profile:
    """Mean HU and number of cubes at each radius in mm, (N,) each; core_mm: radius of the core's volume."""

    radius: Line
    hu: Line
    count: Line
    core_mm: float


def rim_levels(local: Local, mask: Mask, found: Levels, radius_mm: float, reach_mm: float) -> Levels | None:
    """Levels of a rim about `mask`, the outline at `found` of a detection of `radius_mm`, within `reach_mm` of its
    centre; None where lung begins at once."""
    core = core_mm(mask, local.step_mm)
    if core > MAX_CORE_SHARE * radius_mm:
        return None
    line = _profile(local, mask, found, core, reach_mm)
    if len(line.radius) < MIN_POINTS:
        return None
    alone = _one_ball(line, found, local.blur_mm)
    both, (level, outer, inner) = _two_balls(line, found, local.blur_mm, reach_mm)
    if both > MAX_RATIO * alone or outer - inner < MIN_RIM_MM or level - found.lung < MIN_RIM_HU:
        return None
    return Levels(level, found.lung, is_rim=True)


def core_mm(mask: Mask, step_mm: float) -> float:
    """Radius in mm of the ball of a mask's volume."""
    return float(np.cbrt(3 * np.count_nonzero(mask) / (4 * np.pi))) * step_mm


def _profile(local: Local, mask: Mask, found: Levels, core: float, reach_mm: float) -> Profile:
    """By distance from the core's surface, in steps of a cube; the surface has the radius of the core's volume."""
    from scipy import ndimage

    step = local.step_mm
    outward = np.asarray(ndimage.distance_transform_edt(~mask, sampling=step))
    inward = depth_mm(mask, step)
    # a cube beside the surface has its centre half a cube from it
    radius = core + np.where(mask, step / 2 - inward, outward - step / 2)
    used = local.inside & (radius > 0) & (radius < reach_mm)
    other = (local.smooth >= found.threshold) & ~mask
    if other.any():
        used &= ~within_mm(other, CLEAR_MM, step)
    at = np.floor(radius[used] / step).astype(np.int64)
    count = np.bincount(at).astype(np.float64)
    some = count > 0
    mean = [np.bincount(at, values[used])[some] / count[some] for values in (radius, local.hu)]
    return Profile(mean[0], mean[1], count[some], core)


def _one_ball(line: Profile, found: Levels, blur_mm: float) -> float:
    """Weighted sum of squares that one ball leaves."""
    from scipy.optimize import least_squares

    def off(values: Line) -> Line:
        radius, level, softness = values
        shape = blurred(line.radius, radius, softness * blur_mm)
        return np.asarray((found.lung + (level - found.lung) * shape - line.hu) * np.sqrt(line.count))

    low, high = [0.3 * line.core_mm, found.nodule - 1, 0.9], [line.core_mm + 1, densest(found), SOFTEST]
    start = [line.core_mm, found.nodule + 30, 1.0]
    return float(least_squares(off, start, bounds=(low, high), x_scale=[1, 100, 1]).cost)


def _two_balls(line: Profile, found: Levels, blur_mm: float, reach_mm: float) -> tuple[float, tuple[float, ...]]:
    """Sum of squares that two balls leave, and the rim's HU, its outer and its inner radius."""
    from scipy.optimize import least_squares

    def off(values: Line) -> Line:
        rim, thickness, inner, core = values
        outer = line.core_mm + thickness
        shape = partial(blurred, line.radius, deviation=blur_mm)
        hu = found.lung + (rim - found.lung) * shape(outer) + (core - rim) * shape(min(inner, outer))
        return np.asarray((hu - line.hu) * np.sqrt(line.count))

    core, room = line.core_mm, reach_mm - line.core_mm
    low = [found.lung + 50, 0.05, 0.3 * core, found.nodule - 1]
    high = [max(SOLID_HU, found.lung + 100), room, core + 1, densest(found)]
    fits = [
        least_squares(
            off,
            np.clip([hu, min(thick, 0.9 * room), 0.9 * core, found.nodule + 30], np.add(low, 0.01), high),
            bounds=(low, high),
            x_scale=[100, 1, 1, 100],
        )
        for hu, thick in STARTS
    ]
    best = min(fits, key=lambda fit: float(fit.cost))
    rim, thickness, inner, _ = (float(value) for value in best.x)
    return float(best.cost), (rim, core + thickness, inner)


def densest(found: Levels) -> float:
    """A small core is denser than it looks, as soft tissue is."""
    return max(found.nodule, 50.0) + 100


def blurred(radius: Line, ball_mm: float, deviation: float) -> Line:
    """A ball of density 1 after a Gaussian blur in space, at distances `radius` > 0 from its centre (closed form)."""
    from scipy.special import erf

    width = np.sqrt(2) * deviation
    near, far = (ball_mm - radius) / width, (ball_mm + radius) / width
    tails = (np.exp(-(near**2)) - np.exp(-(far**2))) * deviation / (radius * np.sqrt(2 * np.pi))
    return np.asarray((erf(near) + erf(far)) / 2 - tails)
