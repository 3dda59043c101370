"""One lung nodule: its mask on the scan's own grid, and everything that is measured on its outline.

Sizes and mean density come from the sub-voxel outline (`outline`), not from counting voxels of the mask; the spread of
densities comes from the scan's own voxels below the blurred edge. Definitions, sources and errors against phantoms and
readers: docs/measurements.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from medimg import geometry
from medimg.measure import common
from medimg.measure.density import Density, density
from medimg.measure.distance import depth_mm
from medimg.measure.local import Mask
from medimg.measure.outline import Outline, outline
from medimg.measure.spiculation import spiculation_index
from medimg.measure.surface import axial_axes, sphericity, surface_points
from medimg.study import Volume

HALF = 0.5
"""A voxel belongs to the mask when at least this part of it does."""

DEEP_MM = 1.5
"""Half width of the blurred edge (`partial.EDGE_MM`): what is deeper shows the nodule alone."""

DEEP_SHARE = 0.7
"""In a nodule without such a depth, the voxels deeper than this part of the deepest one are taken."""

SIZES = (
    "volume_mm3", "equivalent_diameter_mm", "long_axis_mm", "short_axis_mm", "mean_axis_mm", "fleischner_diameter_mm",
    "long_axis_ends_lps_mm", "short_axis_ends_lps_mm", "max_3d_diameter_mm", "sphericity", "spiculation_index",
    "solid_volume_mm3", "solid_share", "solid_long_axis_mm", "solid_short_axis_mm", "solid_mean_axis_mm",
    "calcified_share", "mass_mg",
)  # fmt: skip
"""What is None where the scan's border cuts the nodule."""


@dataclass(frozen=True)
class NoduleMask:
    """mask: bool over a sub-box of the scan that begins at voxel `start`. outline: what it was made from."""

    mask: Mask
    start: tuple[int, int, int]
    outline: Outline

    def voxels(self) -> common.Voxels:
        """Indices of the nodule's voxels in the whole scan, (N, 3)."""
        return np.asarray(np.argwhere(self.mask) + np.asarray(self.start))


def segment_nodule(volume: Volume, center_lps_mm: ArrayLike, diameter_mm: float) -> NoduleMask | None:
    """Outline the nodule detected at `center_lps_mm` (3,) in a CT `volume` in HU; see `outline` for the method.

    None when nothing there stands out from the lung by MIN_CONTRAST_HU, or the centre is outside the scan.
    """
    found = outline(volume, geometry.lps_to_ras(center_lps_mm), diameter_mm)
    return None if found is None else _on_scan(found, volume)


def measure_nodule(volume: Volume, nodule: NoduleMask) -> dict[str, Any]:
    """Sizes, shape, densities and kind of an outlined nodule, units in the names (docs/output.md).

    Sizes are None where the scan's border cuts it. Axes follow Fleischner 2017 (Bankier et al., Radiology
    2017;285:584-600) and Lung-RADS v2022: long and short axis and their mean to 0.1 mm, the mean also to a whole mm.
    """
    found = nodule.outline
    voxels = nodule.voxels()
    kind = density(found)
    measured = {
        **_sizes(found),
        "mean_hu": round(found.edge.mean_hu, 1),
        **_hounsfield(volume.array[tuple(_deep(found, volume, voxels).T)]),
        **_composition(found, kind),
        "touches_border": common.touches_border(voxels, volume.shape),
    }
    measured["mass_mg"] = _mass_mg(measured["volume_mm3"], measured["mean_hu"])
    if measured["touches_border"]:
        measured.update(dict.fromkeys(SIZES))
    return measured


def _sizes(found: Outline) -> dict[str, Any]:
    local, edge = found.local, found.edge
    axes = axial_axes(edge.share, edge.cut, edge.mask, local.affine_ras)
    first, second = common.furthest_apart(
        geometry.to_world(local.affine_ras, surface_points(edge.share, edge.cut, edge.mask))
    )
    spiculation = spiculation_index(found)
    return {
        "volume_mm3": round(edge.volume_mm3, 3),
        "equivalent_diameter_mm": round(common.equivalent_diameter_mm(edge.volume_mm3), 3),
        **_rounded_axes(axes),
        "fleischner_diameter_mm": _whole(_mean_axis(axes)),
        "long_axis_ends_lps_mm": common.ends_lps_mm(axes.long_ends),
        "short_axis_ends_lps_mm": common.ends_lps_mm(axes.short_ends),
        "max_3d_diameter_mm": round(float(np.linalg.norm(second - first)), 3),
        "sphericity": round(sphericity(edge.mask, local.step_mm), 3),
        "spiculation_index": None if spiculation is None else round(spiculation, 3),
    }


def _deep(found: Outline, volume: Volume, voxels: common.Voxels) -> common.Voxels:
    """Those of the mask's voxels (N, 3) that lung does not reach: DEEP_MM below the surface, or the deepest."""
    from scipy import ndimage

    local = found.local
    depth = depth_mm(found.mask, local.step_mm)
    places = geometry.to_voxel(local.affine_ras, geometry.to_world(volume.affine_ras, voxels))
    depths = ndimage.map_coordinates(depth, places.T, order=1)
    return np.asarray(voxels[depths >= min(DEEP_MM, DEEP_SHARE * float(depths.max()))])


def _hounsfield(values: Any) -> dict[str, float]:
    """Standard deviation and percentiles of voxels on the scan's own grid."""
    p10, median, p90 = np.percentile(values, (10, 50, 90))
    told = {
        "sd_hu": values.std(dtype=np.float64),
        "p10_hu": p10,
        "median_hu": median,
        "p90_hu": p90,
    }
    return {name: round(float(value), 1) for name, value in told.items()}


def _composition(found: Outline, kind: Density) -> dict[str, Any]:
    """Attenuation type, solid component and calcium."""
    local, volume = found.local, found.edge.volume_mm3
    solid: dict[str, Any] = {"solid_long_axis_mm": None, "solid_short_axis_mm": None, "solid_mean_axis_mm": None}
    solid_mm3 = float(np.count_nonzero(kind.solid)) * local.step_mm**3
    if kind.attenuation == "solid":
        solid_mm3 = volume
        axes = _rounded_axes(axial_axes(found.edge.share, found.edge.cut, found.edge.mask, local.affine_ras))
        solid = {f"solid_{name}": value for name, value in axes.items()}
    elif kind.attenuation == "part-solid":
        axes = _rounded_axes(axial_axes(local.smooth, kind.solid_hu, kind.solid, local.affine_ras))
        solid = {f"solid_{name}": value for name, value in axes.items()}
    return {
        "attenuation": kind.attenuation,
        "solid_volume_mm3": round(solid_mm3, 3),
        "solid_share": round(min(solid_mm3 / volume, 1.0), 3),
        **solid,
        "calcified": kind.calcium_mm3 > 0,
        "calcified_share": round(min(kind.calcium_mm3 / volume, 1.0), 3),
    }


def _rounded_axes(axes: common.Axes) -> dict[str, float]:
    """To one decimal, as Lung-RADS v2022 asks; the mean of the rounded two."""
    return {
        "long_axis_mm": round(axes.long_mm, 1),
        "short_axis_mm": round(axes.short_mm, 1),
        "mean_axis_mm": round(_mean_axis(axes), 1),
    }


def _mean_axis(axes: common.Axes) -> float:
    return (round(axes.long_mm, 1) + round(axes.short_mm, 1)) / 2


def _whole(millimetres: float) -> int:
    """To the nearest millimetre, a half upwards: as people round."""
    return int(np.floor(millimetres + 0.5))


def _mass_mg(volume_mm3: float, mean_hu: float) -> float:
    """Volume times density, (HU + 1000) / 1000 mg/mm3 (de Hoop et al., Radiology 2010;255:199-206)."""
    return round(volume_mm3 * max(mean_hu + 1000.0, 0.0) / 1000.0, 1)


def _on_scan(found: Outline, volume: Volume) -> NoduleMask:
    """The outline on the scan's own grid: every voxel of which at least half is nodule, and the fullest in any case."""
    from scipy import ndimage

    local = found.local
    # the cubes' axes are the scan's, so a voxel is a box of whole cubes, or nearly
    sizes = [max(1, round(float(step) / local.step_mm)) for step in volume.spacing_mm]
    filled = ndimage.uniform_filter(found.mask.astype(np.float32), sizes, mode="constant")
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in filled.shape], indexing="ij")).reshape(3, -1).T
    reached = geometry.to_voxel(volume.affine_ras, geometry.to_world(local.affine_ras, corners))
    start = np.clip(np.floor(reached.min(axis=0)).astype(int), 0, volume.shape)
    stop = np.clip(np.ceil(reached.max(axis=0)).astype(int) + 1, start, volume.shape)
    to_cubes = np.linalg.inv(local.affine_ras) @ geometry.shifted(volume.affine_ras, start)
    # a filter of even size lies half a cube before the cube it is written to
    offset = to_cubes[:3, 3] + [0.5 * (size % 2 == 0) for size in sizes]
    share = ndimage.affine_transform(
        filled, to_cubes[:3, :3], offset, output_shape=tuple(stop - start), order=1, mode="constant"
    )
    mask = np.asarray((share >= HALF) | ((share == share.max()) & (share > 0)))
    i, j, k = (int(v) for v in start)
    return NoduleMask(mask, (i, j, k), found)
