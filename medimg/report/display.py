"""How a volume is shown: turned to the radiological convention, windowed, cut into slices.

Display order is (L, P, S): axis 0 grows to the patient's left, 1 to posterior, 2 to superior, whatever the
file's own order. Drawn with axis 0 to the right and axis 1 down, the patient's right is on the image's left.
Oblique grids are shown in their own planes, named by the nearest canonical one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medimg import geometry
from medimg.study import Volume

MR_PERCENTILES = (1.0, 99.5)
"""Of the voxels that are not 0 (background of skull-stripped scans)."""

MAX_SAMPLES = 1 << 20
"""Percentiles are taken of about this many voxels, evenly spread: enough for a display."""

CONTENT_SAMPLES = 64
"""Along each axis, to find out how much of a scan is empty."""


@dataclass(frozen=True)
class Window:
    """Grey levels from `low` (black) to `high` (white), and how to say so."""

    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Plane:
    """One kind of slice: the display axes across, down and through; letters at left, right, top and bottom."""

    name: str
    across: int
    down: int
    through: int
    superior_up: bool
    letters: tuple[str, str, str, str]


AXIAL = Plane("axial", 0, 1, 2, False, ("R", "L", "A", "P"))
CORONAL = Plane("coronal", 0, 2, 1, True, ("R", "L", "S", "I"))
SAGITTAL = Plane("sagittal", 1, 2, 0, True, ("A", "P", "S", "I"))
PLANES = (AXIAL, CORONAL, SAGITTAL)


def ct_window(width: float, level: float, name: str) -> Window:
    """The window of this width and level in HU."""
    return Window(level - width / 2, level + width / 2, f"{name} window W{width:.0f} L{level:.0f} HU")


LUNG_WINDOW = ct_window(1500, -600, "lung")
SOFT_TISSUE_WINDOW = ct_window(400, 40, "soft-tissue")
BONE_WINDOW = ct_window(1800, 400, "bone")
BRAIN_WINDOW = ct_window(80, 40, "brain")
"""The usual display windows of CT (Murphy, "Windowing (CT)", Radiopaedia, doi:10.53347/rID-52108)."""


def mr_window(volume: Volume) -> Window:
    """From low to high percentile of what is not background."""
    step = max(1, round((volume.array.size / MAX_SAMPLES) ** (1 / 3)))
    sample = volume.array[::step, ::step, ::step]
    voxels = sample[sample != 0]
    low, high = np.percentile(voxels if voxels.size else sample, MR_PERCENTILES)
    low_name, high_name = MR_PERCENTILES
    # one grey level only: any width will do, 0 will not
    return Window(float(low), float(max(high, low + 1e-6)), f"window {low_name:g}-{high_name:g} percentile")


def window_of(volume: Volume, ct: Window) -> Window:
    """`ct` for CT, percentiles for everything else."""
    return ct if volume.modality == "CT" else mr_window(volume)


@dataclass(frozen=True)
class Display:
    """A scan (or label map) in display order. array: (L, P, S) view, not a copy; affine_lps: its voxel -> LPS mm."""

    array: NDArray[Any]
    affine_lps: geometry.Affine

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Voxel spacing along display axes, mm."""
        return geometry.spacing_mm(self.affine_lps)

    def voxel_at(self, center_lps_mm: ArrayLike) -> NDArray[np.float64]:
        """Fractional display voxel (3,) of a point in LPS mm."""
        return np.asarray(geometry.to_voxel(self.affine_lps, center_lps_mm))

    def index_at(self, center_lps_mm: ArrayLike) -> tuple[int, int, int]:
        """Nearest display voxel of a point in LPS mm, moved into the scan."""
        nearest = np.clip(np.rint(self.voxel_at(center_lps_mm)), 0, np.array(self.array.shape) - 1)
        left, posterior, superior = (int(v) for v in nearest)
        return (left, posterior, superior)

    def slice(self, plane: Plane, index: int) -> NDArray[Any]:
        """One slice as rows (down) x columns (across); for `superior_up` planes row 0 is the lowest."""
        # basic indexing: np.take would copy the whole scan of a file in another order
        where: list[Any] = [np.s_[:]] * 3
        where[plane.through] = index
        return np.asarray(self.array[tuple(where)].T)

    def content(self) -> NDArray[np.float64]:
        """Box of what is not 0 (the head, where a skull was stripped), mm from voxel 0's outer corner: (2, 3)."""
        steps = [max(1, n // CONTENT_SAMPLES) for n in self.array.shape]
        filled = np.argwhere(self.array[:: steps[0], :: steps[1], :: steps[2]] != 0) * steps
        if not len(filled):
            return np.asarray(np.stack([np.zeros(3), np.array(self.array.shape)]) * self.spacing_mm)
        return np.asarray(np.stack([filled.min(axis=0), filled.max(axis=0) + steps]) * self.spacing_mm)

    def size_mm(self, plane: Plane) -> tuple[float, float]:
        """Width and height of a slice in mm."""
        width, height = (self.array.shape[axis] * self.spacing_mm[axis] for axis in (plane.across, plane.down))
        return (float(width), float(height))

    def position_mm(self, plane: Plane, center_lps_mm: ArrayLike) -> tuple[float, float]:
        """In-plane place of a point: mm from the outer edge of voxel 0 along `across` and `down`."""
        place = (self.voxel_at(center_lps_mm) + 0.5) * self.spacing_mm
        return (float(place[plane.across]), float(place[plane.down]))


def to_display(array: NDArray[Any], affine_ras: ArrayLike) -> Display:
    """Turn an array (I, J, K) to display order by transposing and flipping alone."""
    codes = geometry.axis_codes(affine_ras)
    order, signs = [], []
    for positive, negative in ("LR", "PA", "SI"):
        axis = next(axis for axis in range(3) if codes[axis] in positive + negative)
        order.append(axis)
        signs.append(1 if codes[axis] == positive else -1)
    turned = array.transpose(order)[tuple(np.s_[::sign] for sign in signs)]
    # display voxel -> file voxel
    back = np.zeros((4, 4))
    back[3, 3] = 1.0
    for row, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        back[axis, row] = sign
        back[axis, 3] = 0 if sign == 1 else array.shape[axis] - 1
    return Display(turned, np.asarray(geometry.swap_ras_lps(affine_ras) @ back))
