"""Chest CT phantoms of known truth: smooth-edged ellipsoids in lung, on any grid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medimg import geometry
from medimg.study import Source, Volume

LUNG_HU, SOLID_HU = -860.0, 30.0
EDGE_MM = 0.5
SUBSLICES = 7


def rotation(axis: str, degrees: float) -> np.ndarray:
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    first, second = {"x": (1, 2), "y": (0, 2), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[[first, second], [first, second]] = cos
    matrix[first, second], matrix[second, first] = -sin, sin
    return matrix


GRIDS: dict[str, np.ndarray] = {
    "isotropic": np.eye(3),
    "thin": np.diag([0.7, 0.7, 1.25]),
    "thick": np.diag([-0.7, -0.7, 2.5]),
    "permuted": np.array([[0, 0, 1.0], [-1.0, 0, 0], [0, 1.0, 0]]),
    "oblique": rotation("x", 20) @ rotation("z", 35) @ np.diag([1.0, -0.8, 1.0]),
}


@pytest.fixture
def grids() -> dict[str, np.ndarray]:
    return GRIDS


@pytest.fixture
def phantom() -> Callable[..., tuple[Volume, np.ndarray]]:
    """Make (scan, centre in LPS mm). The centre lies off the voxel grid; slices average over their thickness."""

    def make(
        axes: np.ndarray,
        radii_mm: tuple[float, float, float],
        hu: float = SOLID_HU,
        side_mm: float = 60.0,
        offset_mm: tuple[float, float, float] = (0.21, -0.34, 0.4),
        extra: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> tuple[Volume, np.ndarray]:
        affine = np.eye(4)
        affine[:3, :3] = axes
        shape = tuple(int(side_mm / s) for s in geometry.spacing_mm(affine))
        middle = geometry.to_world(affine, (np.array(shape) - 1) / 2)
        affine[:3, 3] = [10.0, -20.0, 30.0] - middle
        center = np.array([10.0, -20.0, 30.0]) + offset_mm
        voxels = np.moveaxis(np.indices(shape), 0, -1).astype(float)
        inside = np.zeros(shape)
        for shift in (np.arange(SUBSLICES) + 0.5) / SUBSLICES - 0.5:
            points = geometry.to_world(affine, voxels + np.array([0.0, 0.0, shift])) - center
            solid = _ellipsoid(points, radii_mm)
            if extra is not None:
                solid = np.maximum(solid, extra(points))
            inside += solid / SUBSLICES
        array = (LUNG_HU + (hu - LUNG_HU) * inside).astype(np.float32)
        source = Source(Path("phantom.nii.gz"), "nifti")
        return Volume(array, affine, source, "CT"), geometry.ras_to_lps(center)

    return make


def _ellipsoid(points: np.ndarray, radii_mm: tuple[float, float, float]) -> np.ndarray:
    """1 inside, 0 outside, with a smooth edge about EDGE_MM wide, its integral the volume of the ellipsoid."""
    scale_mm = EDGE_MM / 2
    # the mean cube of a radius with logistic spread s is R^3 + pi^2 s^2 R: a blurred edge must not add volume
    radii = np.array(radii_mm) / (1 + (np.pi * scale_mm / np.mean(radii_mm)) ** 2) ** (1 / 3)
    scaled = np.linalg.norm(points / radii, axis=-1)
    depth_mm = (1.0 - scaled) * radii.min()
    return 1.0 / (1.0 + np.exp(-np.clip(depth_mm / scale_mm, -50, 50)))
