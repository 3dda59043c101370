"""A brain MR with a ring-enhancing tumour whose regions are known: four contrasts, skull-stripped, as BraTS has them.

`brain(seed)` draws a head and a tumour. Anatomy lives in LPS mm with the origin in the middle of the brain, so the
same seed gives the same head on every grid; noise depends on the grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medimg import geometry
from medimg.errors import UsageError
from medimg.phantoms import brain_tissue
from medimg.phantoms.brain_tissue import CONTRASTS, TISSUE_SIGNAL, Head, Tissue
from medimg.phantoms.shapes import Field, Grid, Triple, Waves

FULL_SHAPE = (240, 240, 155)
FIELD_OF_VIEW_MM = np.array([240.0, 240.0, 155.0])
"""BraTS's grid: 240 x 240 x 155 voxels of 1 mm; other shapes cover the same field with larger voxels."""

BRATS_ORIGIN_LPS_MM = np.array([0.0, -239.0, 0.0])
"""Middle of the first voxel in BraTS files (the affine diag(-1, -1, 1) with offset (0, 239, 0) in RAS)."""

BRAIN_CENTER_LPS_MM: Triple = (117.0, -115.0, 66.0)
"""Where the brain lies in BraTS's grid (its SRI-24 atlas space), measured on two cases."""


class Region(IntEnum):
    """Labels of BraTS since 2023: enhancing tumour is 3 (it was 4 until 2021)."""

    BACKGROUND = 0
    NECROTIC_CORE = 1
    OEDEMA = 2
    ENHANCING = 3


TUMOUR_SIGNAL: dict[Region, dict[str, float]] = {
    Region.NECROTIC_CORE: {"t1n": 0.76, "t1c": 0.82, "t2w": 2.13, "t2f": 1.70},
    Region.OEDEMA: {"t1n": 0.88, "t1c": 0.89, "t2w": 1.60, "t2f": 1.62},
    Region.ENHANCING: {"t1n": 0.86, "t1c": 1.55, "t2w": 1.80, "t2f": 1.75},
}
"""Signal relative to white matter: medians of 27 public glioma cases of BraTS 2017, 2018 and 2021."""

CORE_RADIUS_MM = (13.0, 22.0)
RIM_MM = (3.5, 6.5)
OEDEMA_MM = (7.0, 14.0)
NOISE_SHARE = 0.035
"""Standard deviation of noise relative to white matter (BraTS: 0.03-0.05 within white matter on T1)."""

BIAS_SHARE = 0.06
"""Standard deviation of the receive-coil shading left after correction."""

WHITE_MATTER_SIGNAL = {"t1n": 1060.0, "t1c": 1250.0, "t2w": 640.0, "t2f": 950.0}
"""Absolute level of white matter: of the order of BraTS2021_01476 (MR has no unit)."""

BLUR_MM = 0.6


@dataclass(frozen=True)
class Tumour:
    """A necrotic core in an enhancing rim in oedema. center_mm: LPS mm from the middle of the brain."""

    center_mm: Triple
    core_radius_mm: float
    rim_mm: float
    oedema_mm: float


@dataclass(frozen=True)
class BrainPhantom:
    """contrasts: t1n, t1c, t2w, t2f -> (I, J, K) int16, 0 outside the brain. labels: (I, J, K) uint8 of `Region`.

    affine_ras: (4, 4) voxel -> RAS mm; i, j, k run to left, posterior, superior.
    """

    contrasts: dict[str, NDArray[np.int16]]
    labels: NDArray[np.uint8]
    affine_ras: geometry.Affine
    tumour: Tumour
    seed: int


def brain(
    seed: int = 0, shape: tuple[int, int, int] = FULL_SHAPE, *, tumour: Tumour | None = None, noise: float = NOISE_SHARE
) -> BrainPhantom:
    """A head with a tumour (drawn where None), in four contrasts on one grid that covers BraTS's field of view.

    noise: standard deviation relative to white matter. Raises UsageError for a shape of fewer than two voxels.
    """
    if min(shape) < 2:
        raise UsageError(f"no brain fits a grid of shape {shape}; use two voxels or more along each axis")
    rng = np.random.default_rng([seed, 0])
    head = Head.draw(rng)
    drawn = draw_tumour(rng)
    lesion = drawn if tumour is None else tumour
    grid = _grid(shape)
    window = grid.window(*brain_tissue.box_mm(BRAIN_CENTER_LPS_MM))
    if window is None:
        raise UsageError(f"a grid of shape {shape} has no voxel inside the brain; use more voxels")
    x, y, z = (axis - np.float32(c) for axis, c in zip(grid.windowed(window), BRAIN_CENTER_LPS_MM, strict=True))
    step = float(np.cbrt(np.prod(grid.spacing_mm)))
    tissue, inside = brain_tissue.classify(head, (x, y, z), grid.spacing_mm)
    regions = _regions(lesion, tissue, inside, (x, y, z), np.random.default_rng([seed, 1]))
    labels = np.zeros(shape, dtype=np.uint8)
    labels[window] = regions
    bias = Waves.draw(rng, 220.0, 6)(x, y, z)
    contrasts = {}
    for index, name in enumerate(CONTRASTS):
        noise_rng = np.random.default_rng([seed, 2, index])
        signal = _signal(name, tissue, regions, step) * (1 + np.float32(BIAS_SHARE) * bias)
        signal = _with_noise(signal, noise, noise_rng) * np.float32(WHITE_MATTER_SIGNAL[name])
        array = np.zeros(shape, dtype=np.int16)
        # stays above 0 inside, so that "above 0" is the brain mask as in BraTS
        array[window] = np.where(inside, np.clip(np.rint(signal), 1, 32767), 0).astype(np.int16)
        contrasts[name] = array
    return BrainPhantom(contrasts, labels, grid.affine_ras, lesion, seed)


def draw_tumour(rng: np.random.Generator) -> Tumour:
    """A tumour in the white matter of one hemisphere, away from the ventricles' middle and the surface."""
    core = float(rng.uniform(*CORE_RADIUS_MM))
    side = 1.0 if rng.random() < 0.5 else -1.0
    center = (side * float(rng.uniform(28, 36)), float(rng.uniform(-36, 38)), float(rng.uniform(2, 26)))
    return Tumour(center, core, float(rng.uniform(*RIM_MM)), float(rng.uniform(*OEDEMA_MM)))


def _grid(shape: tuple[int, int, int]) -> Grid:
    """BraTS's field of view in `shape` voxels."""
    spacing = FIELD_OF_VIEW_MM / shape
    origin = BRATS_ORIGIN_LPS_MM - 0.5 + spacing / 2
    return Grid(shape, (spacing[0], spacing[1], spacing[2]), (origin[0], origin[1], origin[2]))


def _regions(
    tumour: Tumour,
    tissue: NDArray[np.uint8],
    inside: NDArray[np.bool_],
    at: tuple[Field, Field, Field],
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Labels (I, J, K): the core and its rim displace tissue, oedema spreads in white matter only."""
    x, y, z = (axis - np.float32(c) for axis, c in zip(at, tumour.center_mm, strict=True))
    stretch = rng.uniform(0.82, 1.2, 3)
    radius = np.sqrt((x / stretch[0]) ** 2 + (y / stretch[1]) ** 2 + (z / stretch[2]) ** 2).astype(np.float32)
    lobes, rim, spread = (Waves.draw(rng, length, 10)(*at) for length in (34.0, 18.0, 42.0))
    outer = radius - np.float32(tumour.core_radius_mm) + 2.2 * lobes
    inner = outer + np.float32(tumour.rim_mm) * np.clip(1 + 0.35 * rim, 0.4, 1.8)
    reach = outer - np.float32(tumour.oedema_mm) * np.clip(1 + 0.55 * spread, 0.1, 1.8)
    # the falx keeps oedema in its hemisphere
    reach = np.maximum(reach, 6 + 3 * rim - at[0] * np.float32(np.sign(tumour.center_mm[0])))
    # fingers of oedema follow white matter; grey matter is spared but for a seam beside the tumour
    soaked = (reach < 0) & ((tissue == Tissue.WHITE) | (tissue == Tissue.DEEP_GREY) | (outer < 3)) & inside
    labels = np.where(soaked & (tissue != Tissue.FLUID), Region.OEDEMA, Region.BACKGROUND).astype(np.uint8)
    labels[(outer < 0) & inside] = Region.ENHANCING
    labels[(inner < 0) & inside] = Region.NECROTIC_CORE
    return labels


def _signal(name: str, tissue: NDArray[np.uint8], regions: NDArray[np.uint8], step_mm: float) -> Field:
    """Noise-free signal relative to white matter, blurred a little so that borders hold partial volumes."""
    table = np.array([TISSUE_SIGNAL[kind][name] for kind in Tissue], dtype=np.float32)
    signal = table[tissue]
    for region, values in TUMOUR_SIGNAL.items():
        signal[regions == region] = values[name]
    return np.asarray(ndimage.gaussian_filter(signal, BLUR_MM / step_mm, truncate=3.0), dtype=np.float32)


def _with_noise(signal: Field, deviation: float, rng: np.random.Generator) -> Field:
    """Magnitude of a signal with complex Gaussian noise (Rician), slightly correlated as after resampling."""
    real, imaginary = (np.float32(deviation) * rng.standard_normal(signal.shape, dtype=np.float32) for _ in range(2))
    return np.asarray(np.hypot(signal + real, imaginary), dtype=np.float32)
