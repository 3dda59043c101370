"""Where grey matter, white matter and fluid are in a head, and what they look like in MR.

mm with the origin in the middle of the brain and LPS directions: x to the left, y to posterior, z to superior.
Sizes were chosen beside public skull-stripped MR (BraTS) so that slices look alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from medimg.phantoms import shapes
from medimg.phantoms.shapes import Field, Triple, Waves

CONTRASTS = ("t1n", "t1c", "t2w", "t2f")
"""BraTS 2023+ names: T1 native, T1 with contrast medium, T2 weighted, T2 FLAIR."""


class Tissue(IntEnum):
    """Kinds of voxel; OUTSIDE is skull-stripped background."""

    OUTSIDE = 0
    FLUID = 1
    GREY = 2
    WHITE = 3
    DEEP_GREY = 4
    VESSEL = 5


TISSUE_SIGNAL: dict[Tissue, dict[str, float]] = {
    Tissue.OUTSIDE: {"t1n": 0.20, "t1c": 0.30, "t2w": 0.9, "t2f": 0.30},
    Tissue.FLUID: {"t1n": 0.28, "t1c": 0.36, "t2w": 2.6, "t2f": 0.30},
    Tissue.GREY: {"t1n": 0.75, "t1c": 0.79, "t2w": 1.25, "t2f": 1.02},
    Tissue.WHITE: {"t1n": 1.0, "t1c": 1.0, "t2w": 1.0, "t2f": 1.0},
    Tissue.DEEP_GREY: {"t1n": 0.87, "t1c": 0.89, "t2w": 1.08, "t2f": 1.04},
    Tissue.VESSEL: {"t1n": 0.45, "t1c": 1.6, "t2w": 0.5, "t2f": 0.5},
}
"""Signal relative to white matter: grey matter and fluid are medians of 27 public BraTS cases (fluid on T2 its 90th
percentile: the median is of thin sulci). Background only colours the partial volume at the surface."""

BRAIN_SEMI_AXES: Triple = (66.0, 87.0, 64.0)
CEREBELLUM = ((0.0, 50.0, -42.0), (50.0, 30.0, 24.0))
STEM = ((0.0, 16.0, -56.0), (14.0, 13.0, 34.0))
TENTORIUM_MM = 1.2

SULCUS_DEPTH_MM = 19.0
SULCUS_HALF_WIDTH_MM = 0.75
CORTEX_MM = 2.9
"""Thickness of grey matter on each side of a sulcus and under the surface (2-4 mm in man)."""

GYRUS_WAVELENGTH_MM = 20.0
FOLIUM_WAVELENGTH_MM = 8.0
MARGIN_MM = 6.0


@dataclass(frozen=True)
class Head:
    """Everything random about the normal anatomy."""

    outline: Waves
    gyri: Waves
    folia: Waves
    warp: Waves
    ventricle_scale: float
    scale: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Head:
        """A head from a generator."""
        return cls(
            outline=Waves.draw(rng, 75.0, 8),
            gyri=Waves.draw(rng, GYRUS_WAVELENGTH_MM, 48),
            folia=Waves.draw(rng, FOLIUM_WAVELENGTH_MM, 24),
            warp=Waves.draw(rng, 60.0, 8),
            ventricle_scale=float(rng.uniform(0.85, 1.2)),
            scale=float(rng.uniform(0.95, 1.03)),
        )


def box_mm(center_lps_mm: Triple) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper corner (3,) in LPS mm of a box that holds any head centred there."""
    reach = 1.03 * np.array(BRAIN_SEMI_AXES) + MARGIN_MM
    low, high = np.array(center_lps_mm) - reach, np.array(center_lps_mm) + reach
    low[2] = center_lps_mm[2] - 95
    return low, high


def classify(
    head: Head, at: tuple[Field, Field, Field], spacing_mm: Triple
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Kind of tissue (I, J, K) and the brain mask (I, J, K) at coordinates from the middle of the brain."""
    x, y, z = (axis / np.float32(head.scale) for axis in at)
    cerebrum = _cerebrum(head, x, y, z)
    cerebellum = shapes.ellipsoid(x, y, z, *CEREBELLUM, power=2.3) + 0.8 * head.outline(x, y, z)
    stem = shapes.ellipsoid(x, y, z, *STEM)
    fluid = _sulci(head, (x, y, z), cerebrum, spacing_mm)
    kind = np.full(cerebrum.shape, Tissue.WHITE, dtype=np.uint8)
    kind[fluid < CORTEX_MM] = Tissue.GREY
    kind[_deep_grey(head, x, y, z) < 0] = Tissue.DEEP_GREY
    kind[fluid < 0] = Tissue.FLUID
    kind[_ventricles(head, x, y, z) < 0] = Tissue.FLUID
    _hindbrain(head, (x, y, z), kind, cerebrum, cerebellum, stem)
    inside = np.minimum(np.minimum(cerebrum, cerebellum), stem) < 0
    sagittal_sinus = np.hypot(x, (cerebrum + np.float32(2.5))) < 2.4
    kind[sagittal_sinus & (z > 10)] = Tissue.VESSEL
    kind[~inside] = Tissue.OUTSIDE
    return kind, inside


def _cerebrum(head: Head, x: Field, y: Field, z: Field) -> Field:
    """Distance to both hemispheres, their underside lifted over cerebellum and skull base."""
    # the brain is wider behind than in front
    wide = x * (1 - np.float32(0.0012) * (y - 20))
    whole = shapes.ellipsoid(wide, y, z, (0.0, 0.0, 4.0), BRAIN_SEMI_AXES, power=2.25)
    tent = np.float32(-24) - z - np.float32(0.35) * np.abs(x) * np.clip((20 - y) / 30, 0, 1)
    return np.asarray(shapes.smooth_max(whole, tent, 12.0) + np.float32(1.2) * head.outline(x, y, z), dtype=np.float32)


def _sulci(head: Head, at: tuple[Field, Field, Field], cerebrum: Field, spacing_mm: Triple) -> Field:
    """Distance to fluid on the surface, in sulci and in the cleft between the hemispheres.

    Sulci are the zero level of a random field of one wavelength, whose value over its slope is the distance.
    """
    x, y, z = at
    folds = head.gyri(x, y, z)
    slope = np.sqrt(sum(part**2 for part in np.gradient(folds, *spacing_mm)))
    to_fold = np.abs(folds) / np.maximum(slope, np.float32(0.04))
    deep_enough = -cerebrum - np.float32(SULCUS_DEPTH_MM) - 4 * head.warp(x, y, z)
    # sulci narrow with depth
    half_width = np.float32(SULCUS_HALF_WIDTH_MM) * np.clip(1.5 + cerebrum / np.float32(SULCUS_DEPTH_MM), 0.2, 1.5)
    sulcus = np.maximum(to_fold - half_width, deep_enough)
    callosum = shapes.ellipsoid(x, y, z, (0.0, 2.0, 0.0), (np.inf, 44.0, 26.0))
    cleft = np.maximum(np.abs(x + 0.8 * head.warp(x, y, z)) - np.float32(1.0), -callosum)
    surface = -cerebrum - np.float32(1.0)
    return np.asarray(np.minimum(np.minimum(sulcus, surface), cleft), dtype=np.float32)


def _ventricles(head: Head, x: Field, y: Field, z: Field) -> Field:
    """Distance to the lateral ventricles (bodies, front and back horns) and the third ventricle."""
    size = head.ventricle_scale
    side = np.abs(x)
    # bodies bow upwards; horns turn outwards in front and behind
    bow = z - np.float32(14) + np.float32(0.006) * (y - 4) ** 2
    outward = side - np.float32(8) - np.float32(0.0065) * (y - 2) ** 2
    body = shapes.ellipsoid(outward, y, bow, (0.0, 6.0, 0.0), (6.0 * size, 40.0, 7.5 * size))
    atrium = shapes.ellipsoid(side, y, z, (25.0, 38.0, 4.0), (6.0 * size, 15.0, 9.0 * size))
    third = shapes.ellipsoid(x, y, z, (0.0, 2.0, -8.0), (2.2 * size, 13.0, 11.0))
    wobble = np.float32(0.7) * head.outline(x, y, z)
    return np.asarray(shapes.smooth_min(shapes.smooth_min(body, atrium, 5.0), third, 3.0) + wobble, dtype=np.float32)


def _deep_grey(head: Head, x: Field, y: Field, z: Field) -> Field:
    """Distance to thalamus, lentiform nucleus and the head of the caudate, on both sides."""
    side = np.abs(x)
    thalamus = shapes.ellipsoid(side, y, z, (11.0, 10.0, -1.0), (9.0, 15.0, 10.0))
    lentiform = shapes.ellipsoid(side - np.float32(0.25) * (y + 6), y, z, (24.0, -6.0, -2.0), (6.5, 17.0, 11.0))
    caudate = shapes.ellipsoid(side, y, z, (15.0, -22.0, 6.0), (5.0, 10.0, 11.0))
    return np.asarray(
        np.minimum(np.minimum(thalamus, lentiform), caudate) + np.float32(0.7) * head.outline(x, y, z), dtype=np.float32
    )


def _hindbrain(
    head: Head,
    at: tuple[Field, Field, Field],
    kind: NDArray[np.uint8],
    cerebrum: Field,
    cerebellum: Field,
    stem: Field,
) -> None:
    """Cerebellum with its folia, brain stem and fourth ventricle, painted where the cerebrum is not."""
    x, y, z = at
    free = cerebrum > 0
    stripes = head.folia(0.35 * x, 0.45 * y, 1.4 * z)
    leaves = np.where(stripes > 1.1, Tissue.FLUID, np.where(stripes > -0.6, Tissue.GREY, Tissue.WHITE))
    leaves = np.where((cerebellum < -15) & (stripes < 1.2), Tissue.WHITE, leaves)
    part = free & (cerebellum < 0)
    kind[part] = leaves[part]
    kind[free & (cerebrum < TENTORIUM_MM) & (stem > 0)] = Tissue.FLUID
    kind[free & (stem < 0) & (cerebellum > -4)] = Tissue.WHITE
    fourth = shapes.ellipsoid(x, y, z, (0.0, 31.0, -44.0), (5.0, 4.5, 10.0))
    kind[free & (fourth < 0)] = Tissue.FLUID
