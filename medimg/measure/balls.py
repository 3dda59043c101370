"""A small core in a rim of ground glass: two balls, one in the other, fitted to the scan's own voxels.

About a core of 3 mm a rim of 1.5 mm is no plateau and hardly a shoulder, and slices blur it more along one axis than
along the others. So the voxels themselves are compared with two balls as this scan would show them, and with one ball
whose edge is as soft as real margins are. Two balls are told only where they win by the Bayesian information criterion
(Schwarz, Ann Stat 1978;6:461-464), counting voxels that share grain as one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medimg import geometry
from medimg.measure import common
from medimg.measure.distance import within_mm
from medimg.measure.levels import SOLID_HU, Levels
from medimg.measure.local import KERNEL_MM, Local, Mask
from medimg.measure.partial import Edge, tissue
from medimg.measure.rim import CLEAR_MM, MIN_RIM_HU, MIN_RIM_MM, SOFTEST, blurred, core_mm, densest
from medimg.study import Volume

SMALL_MM = 4.5
"""Detections of a larger radius show their rim without help of a shape (`rim`)."""

ROOM_RADII, ROOM_MM = 1.25, 3.0
"""Voxels up to so many detected radii and mm from the detection: a detector's error, and the edge fading out."""

MOST_RADII = 1.25
"""No ball is larger than so many detected radii: a detector's error, and no haze about a solid nodule."""

OFF_RADII = 0.4
"""...or further from the detection."""

LARGEST_CORE = 0.95
"""An outline of more than this part of the detected diameter leaves no room for a rim; thick slices draw a core of half
of it so."""

NEAR_MM = 1.0
"""Voxels up to so far outside the outer ball are the nodule's, those beyond show noise and lung alone."""

MOST_LEFT = 1.75
"""Mean square that two balls leave in the nodule, over that beyond it. By more the nodule is no ball, and what is no
ball is not told as one. Chosen between phantoms (0.5 to 1.2) and solid LIDC nodules (1.9 to 6); noise alone passes 1.72
once in forty (F of the 25 and 150 independent voxels of a nodule of 6 mm)."""

GRAIN = 6.0
"""Voxels that share their noise: 4 pi 0.7^2 for white noise after a Gaussian of 0.7 voxels in the plane."""

EVALUATIONS = 25
"""Steps of a fit; it settles in about ten."""

Line = NDArray[np.float64]


@dataclass(frozen=True)
class TwoBalls:
    """center: (3,) RAS mm. outer_mm, inner_mm: radii. rim_hu, core_hu: densities. lung_hu: about them."""

    center: geometry.Points
    outer_mm: float
    inner_mm: float
    rim_hu: float
    core_hu: float
    lung_hu: float

    @property
    def levels(self) -> Levels:
        """Of the rim."""
        return Levels(self.rim_hu, self.lung_hu, is_rim=True)

    def edge(self, local: Local) -> Edge:
        """The outer ball's, on the cubes of `local`."""
        away = self._away(local)
        volume, inner = (4 / 3 * np.pi * radius**3 for radius in (self.outer_mm, self.inner_mm))
        mean = self.rim_hu + (self.core_hu - self.rim_hu) * inner / volume
        share = np.clip(0.5 + (self.outer_mm - away) / local.step_mm, 0, 1).astype(np.float32)
        return Edge(share, 0.5, away <= self.outer_mm, volume, mean)

    def core(self, local: Local) -> Mask:
        """The cubes of the inner ball, none where it is not solid."""
        return np.asarray((self._away(local) <= self.inner_mm) & (self.core_hu >= SOLID_HU))

    def lie_within(self, local: Local) -> bool:
        """Whether the scan shows all of them: beyond it, a volume would be the fit's own."""
        return not bool(np.any((self._away(local) <= self.outer_mm) & ~local.inside))

    def _away(self, local: Local) -> Line:
        """mm from the centre of the balls, (N, N, N)."""
        middle = geometry.to_voxel(local.affine_ras, self.center)
        i, j, k = np.ogrid[tuple(slice(0, n) for n in local.hu.shape)]
        squares = (i - middle[0]) ** 2 + (j - middle[1]) ** 2 + (k - middle[2]) ** 2
        return np.asarray(np.sqrt(squares) * local.step_mm)


def two_balls(
    volume: Volume, local: Local, mask: Mask, found: Levels, center_ras: geometry.Points, radius_mm: float
) -> TwoBalls | None:
    """Rim and core of the detection of `radius_mm` at `center_ras` (3,), whose outline at `found` is `mask`.

    None where one ball says as much, the nodule is no ball, or the rim is no rim (`rim.MIN_RIM_HU`, `rim.MIN_RIM_MM`).
    Nor is one looked for about a core that shows itself, denser than SOLID_HU: `rim` needs no shape for that.
    """
    core = core_mm(mask, local.step_mm)
    if found.nodule >= SOLID_HU or core > LARGEST_CORE * radius_mm:
        return None
    scene = _Scene.of(volume, center_ras, ROOM_RADII * radius_mm + ROOM_MM, _other(local, mask, found), local)
    lung, contrast = found.lung, found.nodule - found.lung
    most, off = MOST_RADII * radius_mm, OFF_RADII * radius_mm
    ball = [0.0, 0.0, 0.0, lung, contrast, core]
    low, high = [-off] * 3 + [lung - 100, 50, 0.5], [off] * 3 + [lung + 100, densest(found) - lung, most]
    one, _ = scene.fitted([*ball, 0.3], [*low, 0.0], [*high, scene.softest], scene.one)
    start = [*ball[:4], 0.3 * contrast, radius_mm, contrast, 0.5]
    low, high = [*low[:4], MIN_RIM_HU / 2, 1.0, 0.0, 0.2], [*high[:6], densest(found) - lung, 0.95]
    both, best = scene.fitted(start, low, high, scene.two)
    independent = len(scene.hu) / GRAIN
    x, y, z, lung, rim, outer, core, share = (float(v) for v in best)
    if independent < 2 * len(best) or independent * np.log(one / both) < np.log(independent):
        return None
    if scene.left(best) > MOST_LEFT or rim < MIN_RIM_HU or outer * (1 - share) < MIN_RIM_MM or core < rim:
        return None
    place = np.asarray(center_ras) + scene.axes @ np.array([x, y, z])
    balls = TwoBalls(place, outer, share * outer, lung + rim, lung + core, lung)
    return balls if balls.lie_within(local) else None


def _other(local: Local, mask: Mask, found: Levels) -> Mask:
    """The cubes at or near other dense tissue, and outside the scan."""
    return within_mm(tissue((local.smooth >= found.threshold) & ~mask), CLEAR_MM, local.step_mm) | ~local.inside


@dataclass(frozen=True)
class _Scene:
    """hu: (N,) of voxels. places: (N, M, 3) mm from the detection along the voxels' axes, M points that stand for the
    blur that is not alike along all of them. weights: (M,). blur_mm: the deviation of the rest. softest: see `one`.
    axes: (3, 3), unit vectors of the voxels' axes in RAS as columns."""

    hu: Line
    places: Line
    weights: Line
    blur_mm: float
    softest: float
    axes: Line

    @classmethod
    def of(cls, volume: Volume, center_ras: geometry.Points, reach_mm: float, other: Mask, local: Local) -> _Scene:
        """The voxels within `reach_mm` of a place that are not in `other` (cubes of `local`)."""
        spacing, middle = volume.spacing_mm, geometry.to_voxel(volume.affine_ras, center_ras)
        low = np.clip(np.floor(middle - reach_mm / spacing), 0, volume.shape).astype(int)
        high = np.clip(np.ceil(middle + reach_mm / spacing) + 1, 0, volume.shape).astype(int)
        index = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), axis=-1).reshape(-1, 3)
        away = (index - middle) * spacing
        cubes = np.rint(
            geometry.to_voxel(local.affine_ras, geometry.to_world(volume.affine_ras, index)),
        ).astype(int)
        cubes = np.clip(cubes, 0, np.array(other.shape) - 1)
        used = (np.linalg.norm(away, axis=1) <= reach_mm) & ~other[tuple(cubes.T)]
        variance = spacing**2 / 12
        # the kernel blurs in the plane; along the slices a voxel is the mean over its thickness
        variance[np.arange(3) != common.superior_axis(volume.affine_ras)] += KERNEL_MM**2
        least = float(variance.min())
        shifts = [np.array([-1, 1]) * np.sqrt(more) if more > 0 else np.zeros(1) for more in variance - least]
        points = np.stack(np.meshgrid(*shifts, indexing="ij"), axis=-1).reshape(-1, 3)
        return cls(
            volume.array[tuple(index[used].T)].astype(np.float64),
            away[used][:, None, :] - points,
            np.full(len(points), 1 / len(points)),
            float(np.sqrt(least)),
            float(np.sqrt((SOFTEST**2 - 1) * variance.mean())),
            volume.affine_ras[:3, :3] / spacing,
        )

    def one(self, values: Line) -> Line:
        """HU (N,) of one ball: place (3), lung, contrast, radius, deviation of a further blur of its edge."""
        shape = self._ball(self._radii(values), values[5], float(np.hypot(self.blur_mm, values[6])))
        return np.asarray(values[3] + values[4] * shape)

    def two(self, values: Line) -> Line:
        """HU (N,) of two: place (3), lung, contrast and radius of the outer; contrast of the inner, its share."""
        radii = self._radii(values)
        outer = values[4] * self._ball(radii, values[5], self.blur_mm)
        inner = (values[6] - values[4]) * self._ball(radii, values[7] * values[5], self.blur_mm)
        return np.asarray(values[3] + outer + inner)

    def fitted(
        self, start: list[float], low: list[float], high: list[float], model: Callable[[Line], Line]
    ) -> tuple[float, Line]:
        """Sum of squares that `model` (`one` or `two`) leaves, and its values."""
        from scipy.optimize import least_squares

        scale = np.where(np.abs(np.array(start)) > 20, 100.0, 1.0)
        fit = least_squares(
            lambda values: model(values) - self.hu,
            np.clip(start, np.add(low, 1e-3), np.subtract(high, 1e-3)),
            bounds=(low, high),
            x_scale=scale,
            ftol=1e-4,
            xtol=1e-4,
            max_nfev=EVALUATIONS,
        )
        return 2 * float(fit.cost), np.asarray(fit.x)

    def left(self, values: Line) -> float:
        """Mean square of what `two` leaves in the nodule, over that of what it leaves beyond."""
        squares = (self.two(values) - self.hu) ** 2
        near = self._radii(values).mean(axis=1) <= values[5] + NEAR_MM
        return float(squares[near].mean() / squares[~near].mean()) if near.any() and not near.all() else np.inf

    def _radii(self, values: Line) -> Line:
        return np.asarray(np.maximum(np.linalg.norm(self.places - values[:3], axis=2), 1e-3))

    def _ball(self, radii: Line, ball_mm: float, deviation: float) -> Line:
        return np.asarray(blurred(radii, ball_mm, deviation) @ self.weights)
