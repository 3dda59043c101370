"""Rigid registration of a prior scan to a current one of the same region, and whether it can be believed.

SimpleITK: Mattes mutual information (Mattes et al., IEEE TMI 2003;22:120-128), an Euler transform, gradient descent
with steps in mm, from coarse to fine. Several starts are tried on the coarsest grid, because the tables, the fields
of view or the heads may lie anywhere. Rigid: breathing and weight change the lungs by more, which the gate for pairing
findings allows for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medimg.errors import InputError, Reason
from medimg.followup.motion import Motion
from medimg.followup.working_grid import WorkingScan, working_scan
from medimg.study import Volume

WORKING_MM = 2.0
"""Cubes of the finest grid: sub-voxel accuracy leaves well below 1 mm (tests/unit/followup/test_register.py)."""

FACTORS = (4, 2, 1)
"""Pyramid, in steps of WORKING_MM; all starts run on the first, the best goes on."""

MIN_SIDE_VOXELS = 12
"""A level whose grid has fewer voxels along an axis is left out."""

HISTOGRAM_BINS = 40
SAMPLES = 20_000
"""Voxels the metric is taken of at each level (all of a smaller grid), drawn anew by a fixed seed."""

SEED = 20261125

MAX_ITERATIONS = 100
START_STEP, END_STEP = 0.5, 0.005
"""Steps of the descent at the edge of the body, in voxels of the level."""

START_ANGLES_DEGREES = (-15.0, 15.0)
"""Tried about the left-right and the head-foot axis, a nodding and a turned head, when the plain starts fail."""

MIN_OVERLAP = 0.4
"""Part of the smaller scan's content that must lie in the other one."""

MIN_CORRELATION = 0.5
"""Of the two scans where both have content. Phantoms and scans that were registered have 0.8 and more."""

MAX_INCONSISTENCY_MM = 4.0
"""How far there and back may lead astray, anywhere in the overlap: half a voxel of the coarsest grid."""


@dataclass(frozen=True)
class Registration:
    """The motion and how well it fits: correlation in the overlap, overlap as a part, there and back in mm."""

    motion: Motion
    correlation: float
    overlap: float
    inconsistency_mm: float

    def problems(self) -> list[str]:
        """Why it cannot be believed; [] when it can."""
        checks = [
            (self.overlap < MIN_OVERLAP, f"only {self.overlap:.0%} of the smaller scan lies in the other"),
            (self.correlation < MIN_CORRELATION, f"the scans agree too little (correlation {self.correlation:.2f})"),
            (
                self.inconsistency_mm > MAX_INCONSISTENCY_MM,
                f"forth and back differ by {self.inconsistency_mm:.1f} mm",
            ),
        ]
        return [words for failed, words in checks if failed]

    def to_dict(self) -> dict[str, Any]:
        """The `registration` entry of a comparison."""
        return {
            "method": "rigid, Mattes mutual information, multi-resolution (SimpleITK)",
            **self.motion.to_dict(),
            "correlation": round(self.correlation, 4),
            "overlap": round(self.overlap, 4),
            "inconsistency_mm": round(self.inconsistency_mm, 3),
        }


def register(prior: Volume, current: Volume) -> Registration:
    """The rigid motion from `prior` to `current`, two scans of one modality in any orientation and spacing.

    Raises InputError (not_registered) when it cannot be believed; see the module's constants.
    """
    moving, fixed = working_scan(prior, WORKING_MM), working_scan(current, WORKING_MM)
    there = _registered(fixed, moving, _plain_starts(fixed, moving))
    if there.problems():
        turned = _registered(fixed, moving, _turned_starts(fixed, moving))
        there = there if turned.problems() else turned
    if problems := there.problems():
        raise InputError(
            Reason.NOT_REGISTERED,
            f"the two scans cannot be registered: {'; '.join(problems)}; give scans of the same region, or compare "
            "by eye",
        )
    return there


def _registered(fixed: WorkingScan, moving: WorkingScan, starts: Sequence[Motion]) -> Registration:
    """The motion from `moving` to `fixed`: the best start on the coarsest grid, refined on the finer ones."""
    levels = _levels(fixed, moving)
    _, best = min((_run(*levels[0], start) for start in starts), key=lambda result: result[0])
    forth = _refined(levels[1:], best)
    back = _refined(_levels(moving, fixed)[:1], forth.back())
    correlation, overlap, points = _agreement(fixed, moving, forth)
    astray = forth.distance_mm(back.back(), points) if len(points) else np.inf
    return Registration(forth, correlation, overlap, astray)


Level = tuple[WorkingScan, WorkingScan]


def _levels(fixed: WorkingScan, moving: WorkingScan) -> list[Level]:
    pairs = [(fixed.coarser(factor), moving.coarser(factor)) for factor in FACTORS]
    large = [pair for pair in pairs if min(*pair[0].array.shape, *pair[1].array.shape) >= MIN_SIDE_VOXELS]
    return large or pairs[-1:]


def _refined(levels: list[Level], motion: Motion) -> Motion:
    for fixed, moving in levels:
        _, motion = _run(fixed, moving, motion)
    return motion


def _plain_starts(fixed: WorkingScan, moving: WorkingScan) -> list[Motion]:
    """Where the scanner says it is, middle on middle, content on content."""
    shifts = (
        np.zeros(3),
        fixed.center_lps_mm - moving.center_lps_mm,
        fixed.centroid_lps_mm() - moving.centroid_lps_mm(),
    )
    return [_motion(np.eye(3), shift, np.zeros(3)) for shift in shifts]


def _turned_starts(fixed: WorkingScan, moving: WorkingScan) -> list[Motion]:
    """Content on content, turned about its middle."""
    center = moving.centroid_lps_mm()
    shift = fixed.centroid_lps_mm() - center
    return [_motion(_rotation(axis, angle), shift, center) for axis in (0, 2) for angle in START_ANGLES_DEGREES]


def _rotation(axis: int, degrees: float) -> NDArray[np.float64]:
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_euler("xyz"[axis], degrees, degrees=True).as_matrix())


def _motion(rotation: NDArray[np.float64], shift: NDArray[np.float64], center: NDArray[np.float64]) -> Motion:
    """Rotation about `center`, then the shift."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = center + shift - rotation @ center
    return Motion(matrix)


def _run(fixed: WorkingScan, moving: WorkingScan, start: Motion) -> tuple[float, Motion]:
    """One descent: the metric it ended with (lower is better), and the motion from `moving` to `fixed`."""
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(HISTOGRAM_BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(min(1.0, SAMPLES / fixed.array.size), SEED)
    method.SetInterpolator(sitk.sitkLinear)
    # a gradient of the whole image costs more than the samples' own
    method.MetricUseFixedImageGradientFilterOff()
    method.MetricUseMovingImageGradientFilterOff()
    steps = (START_STEP * fixed.spacing_mm, END_STEP * fixed.spacing_mm)
    method.SetOptimizerAsRegularStepGradientDescent(*steps, MAX_ITERATIONS)
    method.SetOptimizerScalesFromPhysicalShift()
    # SimpleITK's transform leads from the fixed to the moving image
    inverse = start.back().matrix
    transform = sitk.Euler3DTransform()
    transform.SetCenter(fixed.center_lps_mm.tolist())
    center = fixed.center_lps_mm
    transform.SetMatrix(_orthonormal(inverse[:3, :3]).ravel().tolist(), 1e-6)
    transform.SetTranslation((inverse[:3, :3] @ center + inverse[:3, 3] - center).tolist())
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(fixed.image(), moving.image())
        value = float(method.GetMetricValue())
    except RuntimeError:
        # no overlap left: this start leads nowhere
        return np.inf, start
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(transform.GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = np.array(transform.GetTranslation()) + center - matrix[:3, :3] @ center
    return value, Motion(matrix).back()


def _orthonormal(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation nearest to a matrix that rounding has bent a little."""
    u, _, v = np.linalg.svd(matrix)
    return np.asarray(u @ v)


CONTENT = 0.08
"""Normalised value above which a voxel is content: not air, not the background of a stripped head."""


def _agreement(fixed: WorkingScan, moving: WorkingScan, motion: Motion) -> tuple[float, float, NDArray[np.float64]]:
    """Correlation in the overlap, overlap as a part of the smaller content, and points of it in moving's LPS mm."""
    fixed, moving = fixed.coarser(2), moving.coarser(2)
    grid = np.diag([fixed.spacing_mm] * 3 + [1.0])
    grid[:3, 3] = fixed.origin_lps_mm
    target = np.diag([moving.spacing_mm] * 3 + [1.0])
    target[:3, 3] = moving.origin_lps_mm
    to_moving = np.linalg.inv(target) @ motion.back().matrix @ grid
    brought = ndimage.affine_transform(
        moving.array, to_moving[:3, :3], to_moving[:3, 3], output_shape=fixed.array.shape, order=1, cval=-1.0
    )
    inside = brought >= 0
    both = inside & ((fixed.array > CONTENT) | (brought > CONTENT))
    smaller = min(np.count_nonzero(fixed.array > CONTENT), np.count_nonzero(moving.array > CONTENT))
    shared = np.count_nonzero(inside & (fixed.array > CONTENT) & (brought > CONTENT))
    if np.count_nonzero(both) < MIN_SIDE_VOXELS**2 or smaller == 0:
        return 0.0, 0.0, np.zeros((0, 3))
    correlation = float(np.corrcoef(fixed.array[both], brought[both])[0, 1])
    step = max(1, np.count_nonzero(both) // 500)
    points = fixed.origin_lps_mm + np.argwhere(both)[::step] * fixed.spacing_mm
    return float(np.nan_to_num(correlation)), min(1.0, shared / smaller), motion.back().moved(points)
