"""A chest CT with nodules of known place and size.

`thorax(...)` draws a patient from a seed and scans it. For many pieces of one patient draw it once:
`plan_thorax(seed)`, then `scan(plan, shape, spacing_mm, center_lps_mm)`. Anatomy and nodules depend on the
seed alone; parenchyma texture and noise also on the grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medimg import geometry
from medimg.errors import UsageError
from medimg.phantoms import anatomy, chest_tissue
from medimg.phantoms.anatomy import Chest
from medimg.phantoms.nodules import Kind, Nodule, add_nodule
from medimg.phantoms.shapes import Grid, Triple

DEFAULT_SHAPE = (320, 320, 120)
DEFAULT_SPACING_MM: Triple = (1.1, 1.1, 2.5)
"""The whole chest, 352 x 352 x 300 mm, with the slices of a usual diagnostic scan."""

DEFAULT_NODULES = 4
DIAMETER_RANGE_MM = (5.0, 20.0)
KIND_SHARES = (0.6, 0.2, 0.2)
"""Solid, part-solid, ground glass; solid ones are commonest in screening."""

WALL_GAP_MM = 3.0
"""Lung left between a nodule and the pleura."""

VESSEL_GAP_MM = 1.5
"""Lung left between a nodule and any vessel or airway."""

TWIG_RADIUS_MM = 1.0
"""Thinner vessels make way for a nodule; wider ones keep it away."""

SHAPE_REACH = 1.2
"""How far an irregular nodule may reach beyond the radius of the sphere of equal volume."""

NODULE_GAP_MM = 15.0
PLACEMENT_TRIES = 4000

BLOOD_HU = {"plain": 42.0, "contrast": 190.0}
CONTRAST_SHARE = 0.5
"""Share of patients with contrast medium."""

NOISE_HU = (15.0, 25.0)
"""Standard deviation of the scanner's noise after reconstruction (LIDC-IDRI: about 15-30 HU)."""

NOISE_GRAIN_MM = 0.6
POINT_SPREAD_MM = 0.55
"""Gaussian sigma in the slice of a standard reconstruction kernel (full width 1.3 mm)."""

SLICE_SPREAD = 0.3
"""Gaussian sigma across slices, as a share of the slice spacing."""

HU_RANGE = (-1024, 3071)
"""What a 12-bit CT can hold."""


@dataclass(frozen=True)
class ThoraxPlan:
    """A patient before the scan: anatomy, nodules, and what the scanner adds. Independent of any grid."""

    seed: int
    chest: Chest
    nodules: tuple[Nodule, ...]
    blood_hu: float
    noise_hu: float


@dataclass(frozen=True)
class ThoraxPhantom:
    """array: (I, J, K) int16 HU; i, j, k run to left, posterior, superior. affine_ras: (4, 4) voxel -> RAS mm.

    nodules: all of the patient's, also those outside the grid; nodule_labels: (I, J, K) uint8, n + 1 in nodules[n].
    """

    array: NDArray[np.int16]
    affine_ras: geometry.Affine
    nodules: tuple[Nodule, ...]
    nodule_labels: NDArray[np.uint8]
    seed: int


def thorax(
    shape: tuple[int, int, int] = DEFAULT_SHAPE,
    spacing_mm: Triple = DEFAULT_SPACING_MM,
    seed: int = 0,
    *,
    center_lps_mm: Triple = (0.0, 0.0, 0.0),
    nodules: Sequence[Nodule] | None = None,
    count: int = DEFAULT_NODULES,
    contrast: bool | None = None,
    noise_hu: float | None = None,
) -> ThoraxPhantom:
    """Draw a patient and scan it: `plan_thorax`, then `scan`."""
    plan = plan_thorax(seed, nodules=nodules, count=count, contrast=contrast, noise_hu=noise_hu)
    return scan(plan, shape, spacing_mm, center_lps_mm)


def plan_thorax(
    seed: int = 0,
    *,
    nodules: Sequence[Nodule] | None = None,
    count: int = DEFAULT_NODULES,
    contrast: bool | None = None,
    noise_hu: float | None = None,
) -> ThoraxPlan:
    """Draw a patient. `nodules` given are taken as they are; otherwise `count` are placed in the parenchyma.

    contrast, noise_hu: drawn from the seed where None. Raises UsageError where `count` nodules find no room.
    """
    rng = np.random.default_rng([seed, 0])
    chest = anatomy.draw_chest(rng)
    enhanced = bool(rng.random() < CONTRAST_SHARE) if contrast is None else contrast
    noise = float(rng.uniform(*NOISE_HU)) if noise_hu is None else noise_hu
    placed = tuple(nodules) if nodules is not None else _place(chest, count, np.random.default_rng([seed, 1]))
    chest = _make_way(chest, placed)
    return ThoraxPlan(seed, chest, placed, BLOOD_HU["contrast" if enhanced else "plain"], noise)


def scan(
    plan: ThoraxPlan,
    shape: tuple[int, int, int] = DEFAULT_SHAPE,
    spacing_mm: Triple = DEFAULT_SPACING_MM,
    center_lps_mm: Triple = (0.0, 0.0, 0.0),
) -> ThoraxPhantom:
    """CT of the patient on the grid of `shape` and `spacing_mm` whose middle is at `center_lps_mm`."""
    if min(shape) < 2 or min(spacing_mm) <= 0:
        raise UsageError(f"no grid of shape {shape} and spacing {spacing_mm} mm; use two voxels or more, above 0 mm")
    grid = Grid.centred(shape, spacing_mm, center_lps_mm)
    rng = np.random.default_rng([plan.seed, 2])
    volume, _ = chest_tissue.render(plan.chest, grid, plan.blood_hu, rng)
    labels = np.zeros(shape, dtype=np.uint8)
    width = chest_tissue.edge_width(grid)
    for index, nodule in enumerate(plan.nodules):
        add_nodule(volume, labels, grid, nodule, index + 1, (plan.seed, 3, index), width)
    sigma = (POINT_SPREAD_MM / spacing_mm[0], POINT_SPREAD_MM / spacing_mm[1], SLICE_SPREAD)
    volume = np.asarray(ndimage.gaussian_filter(volume, sigma, truncate=3.0), dtype=np.float32)
    volume += chest_tissue.texture(grid, NOISE_GRAIN_MM, plan.noise_hu, rng)
    array = np.clip(np.rint(volume), *HU_RANGE).astype(np.int16)
    return ThoraxPhantom(array, grid.affine_ras, plan.nodules, labels, plan.seed)


def _place(chest: Chest, count: int, rng: np.random.Generator) -> tuple[Nodule, ...]:
    """`count` nodules in the lungs, clear of the pleura, of wide vessels, of airways and of each other."""
    wide = chest.pulmonary.kept(chest.pulmonary.radius.max(axis=1) > TWIG_RADIUS_MM)
    found: list[Nodule] = []
    span = np.array([*anatomy.CAVITY_SEMI_AXES[:2], 125.0])
    logarithms = (float(np.log(DIAMETER_RANGE_MM[0])), float(np.log(DIAMETER_RANGE_MM[1])))
    points = np.round(rng.uniform(-span, span, (PLACEMENT_TRIES, 3)), 2)
    diameters = np.round(np.exp(rng.uniform(*logarithms, PLACEMENT_TRIES)), 1)
    kinds = rng.choice(3, PLACEMENT_TRIES, p=KIND_SHARES)
    x, y, z = points.T.astype(np.float32)
    roomy = -chest.lung(x, y, z) > diameters / 2 * SHAPE_REACH + WALL_GAP_MM
    for index in np.flatnonzero(roomy):
        if len(found) == count:
            break
        point, radius = points[index], float(diameters[index]) / 2
        clear = min(float(wide.distance([point]).min()), float(chest.bronchi.distance([point]).min()))
        apart = min((float(np.linalg.norm(point - n.center_lps_mm)) - n.diameter_mm / 2 for n in found), default=np.inf)
        if clear > radius * SHAPE_REACH + VESSEL_GAP_MM and apart - radius > NODULE_GAP_MM:
            center = (float(point[0]), float(point[1]), float(point[2]))
            found.append(Nodule(center, float(diameters[index]), get_args(Kind)[kinds[index]]))
    if len(found) == count:
        return tuple(found)
    raise UsageError(f"no room for {count} nodules in the phantom's lungs, only for {len(found)}; ask for fewer")


def _make_way(chest: Chest, nodules: Sequence[Nodule]) -> Chest:
    """The chest without the twigs that would run into a nodule."""
    keep = np.ones(len(chest.pulmonary), dtype=bool)
    twig = chest.pulmonary.radius.max(axis=1) <= TWIG_RADIUS_MM
    for nodule in nodules:
        near = (
            chest.pulmonary.distance([nodule.center_lps_mm])[0] < SHAPE_REACH * nodule.diameter_mm / 2 + VESSEL_GAP_MM
        )
        keep &= ~(near & twig)
    return replace(chest, pulmonary=chest.pulmonary.kept(keep))
