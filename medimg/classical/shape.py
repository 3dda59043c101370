"""What a blob looks like: measured along rays from its centre, and described in a few numbers a reader understands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from medimg.classical.blobs import Blobs
from medimg.classical.region import LUNG_HU, Region

FEATURES = (
    "log_diameter",
    "response_hu",
    "core_hu",
    "contrast_hu",
    "blobness",
    "tubeness",
    "roundness",
    "elongation",
    "attached_fraction",
    "exits_near",
    "exits",
    "exits_far",
    "opposed_exits",
    "exit_groups",
    "widest_exit",
    "edge_sharpness",
    "core_sd_hu",
    "surface_distance_mm",
    "surrounding_hu",
    "size_agreement",
)
"""In the order of the classifier's coefficients; `describe` says what each is."""

RAYS = 64
"""Directions, evenly spread (Fibonacci sphere)."""

REACH = 2.5
"""Rays go this many radii far."""

SAMPLES = 20
"""Along a ray."""

HALF = 0.5
"""The edge is where density has fallen half way from core to surroundings."""

MAX_SURFACE_MM = 30.0
"""Deeper in the lung makes no difference."""

Values = NDArray[np.float64]


def describe(region: Region, found: Blobs) -> Values:
    """(N, len(FEATURES)) of the blobs.

    log_diameter: natural logarithm of mm, twice the median ray length. response_hu: the filter's. core_hu, core_sd_hu:
    mean and deviation within half a radius. contrast_hu: core minus the lower quartile beyond two radii.
    attached_fraction: share of rays that never fall half way. blobness, tubeness: smallest and
    middle of the Hessian's eigenvalues over the largest. roundness: quartile range of the ray lengths over their
    median. elongation: shortest to longest axis of the rays' ends. exits_near, exits, exits_far: share of rays dense at
    1.25, 1.5 and 2 radii. opposed_exits: share of them, at 1.5, whose opposite is dense too: a vessel that passes.
    exit_groups, widest_exit: connected patches these rays form, and the share of rays in the largest: one for a stalk,
    several for a branch point, a wide one for the pleura. edge_sharpness: fall from 0.75 to 1.25 radii over the
    contrast. surface_distance_mm: depth of the centre in the lung. surrounding_hu: mean beyond two radii.
    size_agreement: diameter along the rays over that of the filter.
    """
    if not len(found):
        return np.empty((0, len(FEATURES)))
    profile = _profiles(region.hu, found)
    core = profile[:, :, : SAMPLES // 5].mean(axis=(1, 2))
    outer = profile[:, :, -SAMPLES // 5 :]
    around = np.quantile(outer.reshape(len(found), -1), 0.25, axis=1)
    middle = around + HALF * (core - around)
    radius = found.diameter_mm / 2
    length, attached = _ray_lengths(profile, middle, radius)
    median = np.median(length, axis=1)
    low, high = np.quantile(length, (0.25, 0.75), axis=1)
    near, at, far = (profile[:, :, _sample(radii)] > middle[:, None] for radii in (1.25, 1.5, 2.0))
    groups, widest = _patches(at)
    fall = profile[:, :, _sample(0.75)].mean(axis=1) - profile[:, :, _sample(1.25)].mean(axis=1)
    values = found.eigenvalues
    largest = np.minimum(values[:, 0], -1e-6)
    return np.column_stack(
        [
            np.log(np.maximum(2 * median, 1.0)),
            found.response_hu,
            core,
            core - around,
            np.clip(values[:, 2] / largest, -1, 1),
            np.clip(values[:, 1] / largest, -1, 1),
            (high - low) / np.maximum(median, 0.5),
            _elongation(length),
            attached,
            near.mean(axis=1),
            at.mean(axis=1),
            far.mean(axis=1),
            (at & at[:, _opposite()]).mean(axis=1),
            groups,
            widest,
            fall / np.maximum(core - around, 1.0),
            profile[:, :, : SAMPLES // 5].std(axis=(1, 2)),
            _surface_distance(region, found),
            outer.mean(axis=(1, 2)),
            2 * median / found.diameter_mm,
        ]
    )


def directions() -> Values:
    """(RAYS, 3) unit vectors of a Fibonacci sphere."""
    k = np.arange(RAYS)
    z = 1 - (2 * k + 1) / RAYS
    angle = k * np.pi * (3 - np.sqrt(5))
    ring = np.sqrt(1 - z**2)
    return np.column_stack([ring * np.cos(angle), ring * np.sin(angle), z])


def _sample(radii: float) -> int:
    """Index of the sample at so many radii."""
    return round(SAMPLES * radii / REACH) - 1


def _opposite() -> NDArray[np.int64]:
    """(RAYS,) for each ray the one nearest to its opposite."""
    return np.asarray(np.argmin(directions() @ directions().T, axis=1))


def _patches(dense: NDArray[np.bool_]) -> tuple[Values, Values]:
    """Connected groups of the dense rays (N, RAYS), and the largest as a share of all rays."""
    # neighbours on the sphere: nearer than one and a half times the mean spacing of RAYS points
    close = directions() @ directions().T > np.cos(1.5 * np.sqrt(4 * np.pi / RAYS))
    count, largest = np.zeros(len(dense)), np.zeros(len(dense))
    for row, rays in enumerate(dense):
        if rays.any():
            groups, labels = connected_components(csr_matrix(close[np.ix_(rays, rays)]), directed=False)
            count[row], largest[row] = groups, np.bincount(labels).max() / RAYS
    return count, largest


def _profiles(hu: NDArray[np.float32], found: Blobs) -> Values:
    """(N, RAYS, SAMPLES) HU along the rays; lung beyond the image."""
    steps = np.arange(1, SAMPLES + 1) / SAMPLES * REACH
    offsets = directions()[:, None, :] * steps[:, None]
    points = found.voxels[:, None, None, :] + offsets[None] * (found.diameter_mm / 2)[:, None, None, None]
    sampled = ndimage.map_coordinates(hu, np.moveaxis(points, -1, 0), order=1, mode="constant", cval=LUNG_HU)
    return np.asarray(sampled, dtype=np.float64)


def _ray_lengths(profile: Values, middle: Values, radius: Values) -> tuple[Values, Values]:
    """Where each ray first falls below `middle` (N, RAYS), mm, and the share of rays (N,) that never do."""
    below = profile < middle[:, None, None]
    first = np.where(below.any(axis=2), below.argmax(axis=2), SAMPLES)
    return (first + 0.5) / SAMPLES * REACH * radius[:, None], (~below.any(axis=2)).mean(axis=1)


def _elongation(length: Values) -> Values:
    """Shortest over longest axis of the ray ends about their mean, from the eigenvalues of their covariance."""
    ends = length[:, :, None] * directions()[None]
    ends = ends - ends.mean(axis=1, keepdims=True)
    spread = np.linalg.eigvalsh(np.einsum("nra,nrb->nab", ends, ends))
    return np.asarray(np.sqrt(np.maximum(spread[:, 0], 0) / np.maximum(spread[:, 2], 1e-9)))


def _surface_distance(region: Region, found: Blobs) -> Values:
    """How deep the centres lie in the lung, mm."""
    # a second grid of 2 mm: exact to a millimetre; asked at the blobs alone, not for every voxel
    lung = np.pad(region.lung[::2, ::2, ::2], 1, mode="edge")
    cells = np.minimum(np.rint(found.voxels / 2).astype(int) + 1, np.array(lung.shape) - 1)
    outside = np.argwhere(~lung & ndimage.binary_dilation(lung, np.ones((3, 3, 3))))
    if not len(outside):
        return np.full(len(found), MAX_SURFACE_MM)
    depth, _ = cKDTree(outside).query(cells)
    return np.where(lung[tuple(cells.T)], np.minimum(2.0 * depth, MAX_SURFACE_MM), 0.0)
