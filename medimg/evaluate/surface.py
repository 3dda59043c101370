"""How far the surfaces of two masks lie apart, in mm.

A surface is the voxels of a mask with a neighbour (of six) outside it, the edge of the array counting as outside; a
distance runs between voxel centres. These are the definitions of MONAI's HausdorffDistanceMetric (percentile 95,
the larger of both directions) and SurfaceDiceMetric (Nikolov et al., arXiv:1809.04430, counted in voxels).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medimg.evaluate.overlap import Mask

EMPTY_HD95_MM = 374.0
"""BraTS: the distance to a mask that is empty, about the diagonal of its 240 x 240 x 155 grid of 1 mm."""

TOLERANCE_MM = 1.0
"""Surfaces no further apart agree, unless another tolerance is asked for."""

PERCENTILE = 95


@dataclass(frozen=True)
class SurfaceDistances:
    """Distance in mm of each surface voxel of one mask to the surface of the other, (N,) and (M,)."""

    truth: NDArray[np.float64]
    prediction: NDArray[np.float64]

    def hd95_mm(self) -> float:
        """The larger of the two 95th percentiles; 0 when both masks are empty, EMPTY_HD95_MM when one is."""
        if not len(self.truth) or not len(self.prediction):
            return 0.0 if len(self.truth) == len(self.prediction) else EMPTY_HD95_MM
        return float(max(np.percentile(side, PERCENTILE) for side in (self.truth, self.prediction)))

    def surface_dice(self, tolerance_mm: float = TOLERANCE_MM) -> float:
        """The share of both surfaces within `tolerance_mm` of the other; 1 when both are empty, 0 when one is."""
        if not len(self.truth) or not len(self.prediction):
            return 1.0 if len(self.truth) == len(self.prediction) else 0.0
        near = sum(int(np.count_nonzero(side <= tolerance_mm)) for side in (self.truth, self.prediction))
        return near / (len(self.truth) + len(self.prediction))


def surface_distances(truth: Mask, prediction: Mask, spacing_mm: NDArray[np.float64]) -> SurfaceDistances:
    """Distances between the surfaces of two masks (I, J, K) on one grid with axes at right angles."""
    edges = [surface(mask) for mask in (truth, prediction)]
    if not all(edge.any() for edge in edges):
        # nothing to measure to; the lengths still say which of the two is empty
        to_nothing = [np.full(np.count_nonzero(edge), np.inf) for edge in edges]
        return SurfaceDistances(to_nothing[0], to_nothing[1])
    window = bounding_box(edges[0] | edges[1])
    own, other = (edge[window] for edge in edges)
    return SurfaceDistances(_distance(own, other, spacing_mm), _distance(other, own, spacing_mm))


def surface(mask: Mask) -> Mask:
    """The voxels of the mask (I, J, K) with a face neighbour outside it."""
    if not mask.any():
        return np.zeros_like(mask)
    window = bounding_box(mask)
    edge = np.zeros_like(mask)
    edge[window] = mask[window] & ~ndimage.binary_erosion(mask[window])
    return edge


def bounding_box(mask: Mask, margin: int = 0) -> tuple[slice, ...]:
    """The smallest box around a mask that is not empty, widened by `margin` voxels within the array."""
    box: tuple[slice, ...] = ndimage.find_objects(mask.astype(np.uint8))[0]
    return tuple(
        slice(max(0, side.start - margin), min(size, side.stop + margin))
        for side, size in zip(box, mask.shape, strict=True)
    )


def _distance(own: Mask, other: Mask, spacing_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    to_other: NDArray[np.float64] = ndimage.distance_transform_edt(~other, sampling=spacing_mm)
    return to_other[own]
