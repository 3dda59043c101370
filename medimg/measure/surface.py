"""The sub-voxel surface of an outline on its cube: its points, its axial axes, its sphericity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medimg import geometry
from medimg.measure import common
from medimg.measure.common import Axes
from medimg.measure.local import Field, Mask

Points = NDArray[np.float64]


def surface_points(field: Field, cut: float, mask: Mask, axes: tuple[int, ...] = (0, 1, 2)) -> Points:
    """Where the lines between neighbouring cubes along `axes` cross the surface of `mask`: (N, 3) cube indices.

    Linear between the two values of `field`; half way where the surface is no level of the field (it was cut there).
    """
    found = []
    for axis in axes:
        first, second = np.moveaxis(mask, axis, 0)[:-1], np.moveaxis(mask, axis, 0)[1:]
        crossed = np.argwhere(np.moveaxis(first != second, 0, axis))
        step = np.zeros(3, dtype=np.int64)
        step[axis] = 1
        enters = ~mask[tuple(crossed.T)]
        inner = np.where(enters[:, None], crossed + step, crossed)
        outer = np.where(enters[:, None], crossed, crossed + step)
        inside, outside = field[tuple(inner.T)], field[tuple(outer.T)]
        level = (inside >= cut) & (outside < cut)
        part = np.where(level, (inside - cut) / np.where(level, inside - outside, 1.0), 0.5)
        found.append(inner + (outer - inner) * part[:, None])
    return np.concatenate(found)


def axial_axes(field: Field, cut: float, mask: Mask, affine: geometry.Affine) -> Axes:
    """The bidimensional measure of the axial planes of a grid whose axes are at right angles; `mask` is not empty.

    Bankier et al. (Fleischner Society, Radiology 2017;285:584-600), ACR Lung-RADS v2022, RECIST 1.1: the longest
    diameter of the section that has the longest, and the longest at right angles to it in the same section.
    """
    through = common.superior_axis(affine)
    in_plane = [axis for axis in range(3) if axis != through]
    points = surface_points(field, cut, mask, tuple(in_plane))
    # a point between two cubes of one plane keeps that plane's index
    plane = np.rint(points[:, through]).astype(np.int64)
    spacing = geometry.spacing_mm(affine)[in_plane]
    angles = np.deg2rad(np.arange(0, 180, common.FERET_STEP_DEGREES))
    directions = np.stack([np.cos(angles), np.sin(angles)])
    best, chosen, along = -1.0, points[:1], 0
    for number in np.unique(plane):
        section = points[plane == number]
        width = np.ptp((section[:, in_plane] * spacing) @ directions, axis=0)
        if width.max() > best:
            best, chosen, along = float(width.max()), section, int(width.argmax())
    flat = chosen[:, in_plane] * spacing
    long_way = directions[:, along]
    u, v = flat @ long_way, flat @ np.array([-long_way[1], long_way[0]])
    low, high = common.longest_chord(u, v, common.CHORD_PIXELS * float(spacing.max()))
    world = geometry.to_world(affine, chosen)
    return Axes(best, float(v[high] - v[low]), world[[int(u.argmin()), int(u.argmax())]], world[[low, high]])


def sphericity(mask: Mask, step_mm: float) -> float:
    """Surface of the sphere of equal volume over the surface (Wadell 1932), by ITK's Crofton estimate; at most 1."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing([step_mm] * 3)
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(image)
    return min(float(shape.GetRoundness(1)), 1.0)
