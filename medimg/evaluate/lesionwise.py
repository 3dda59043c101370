"""BraTS 2023's lesion-wise Dice and HD95 (Saluja et al., BraTS-2023-Metrics; parameters of the adult glioma task).

Parts of the truth that touch once dilated are one lesion. Components of the prediction within a dilated lesion are
that lesion's prediction; a component in none is a false positive. A lesion without prediction scores Dice 0 and
HD95 374 mm, and so does each false positive. Lesions of at most 50 mm3 are not scored, but what lies on them is no
false positive. A case's score is the mean over its lesions and false positives: Dice 1 and HD95 0 when it has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medimg.evaluate.overlap import Mask, dice
from medimg.evaluate.surface import EMPTY_HD95_MM, bounding_box, surface_distances

DILATIONS = 3
"""Voxels by which a lesion is dilated before it is matched."""

DILATION_SHAPE: NDArray[np.bool_] = ndimage.generate_binary_structure(3, 2)
"""One dilation: face and edge neighbours of the 3 x 3 x 3 block."""

TOUCHING: NDArray[np.bool_] = ndimage.generate_binary_structure(3, 3)
"""Components are connected over faces, edges and corners (26 neighbours)."""

MIN_LESION_MM3 = 50.0
"""Lesions of the truth that are not larger are left out."""

Labels = NDArray[np.int32]


@dataclass(frozen=True)
class LesionScore:
    """One lesion of the truth; `found` when some of the prediction lies on it."""

    volume_mm3: float
    found: bool
    dice: float
    hd95_mm: float


@dataclass(frozen=True)
class LesionWise:
    """One region of one case: its lesions larger than MIN_LESION_MM3, and how many components lie on none."""

    lesions: tuple[LesionScore, ...]
    false_positives: int

    @property
    def dice(self) -> float:
        """Mean over lesions and false positives, these with 0; 1 when there are neither."""
        return self._mean(sum(lesion.dice for lesion in self.lesions), 0.0, 1.0)

    @property
    def hd95_mm(self) -> float:
        """Mean over lesions and false positives, these with EMPTY_HD95_MM; 0 when there are neither."""
        return self._mean(sum(lesion.hd95_mm for lesion in self.lesions), EMPTY_HD95_MM, 0.0)

    @property
    def true_positives(self) -> int:
        """Lesions that were found."""
        return sum(lesion.found for lesion in self.lesions)

    @property
    def false_negatives(self) -> int:
        """Lesions that were missed."""
        return len(self.lesions) - self.true_positives

    def _mean(self, total: float, each_false: float, empty: float) -> float:
        count = len(self.lesions) + self.false_positives
        return (total + each_false * self.false_positives) / count if count else empty


def lesion_wise(truth: Mask, prediction: Mask, spacing_mm: NDArray[np.float64], voxel_mm3: float) -> LesionWise:
    """Score a region (I, J, K) lesion by lesion."""
    either = truth | prediction
    if not either.any():
        return LesionWise((), 0)
    window = bounding_box(either, margin=DILATIONS + 1)
    lesions, count = _lesions(truth[window])
    parts, part_count = _components(prediction[window])
    scores, on_lesion = [], set()
    for number in range(1, count + 1):
        lesion = lesions == number
        touched = _touched(lesion, parts)
        on_lesion |= touched
        volume = float(np.count_nonzero(lesion) * voxel_mm3)
        if volume > MIN_LESION_MM3:
            found = np.isin(parts, sorted(touched))
            distance = surface_distances(lesion, found, spacing_mm).hd95_mm()
            scores.append(LesionScore(volume, bool(touched), dice(lesion, found), distance))
    return LesionWise(tuple(scores), part_count - len(on_lesion))


def _lesions(truth: Mask) -> tuple[Labels, int]:
    """Lesions of the truth numbered from 1, parts that touch once dilated under one number."""
    dilated = _dilated(truth) if truth.any() else truth
    numbers, count = _components(dilated)
    return np.where(truth, numbers, 0), count


def _touched(lesion: Mask, parts: Labels) -> set[int]:
    """Numbers of the parts that reach into the dilated lesion."""
    window = bounding_box(lesion, margin=DILATIONS)
    near = parts[window][_dilated(lesion[window])]
    return set(np.unique(near[near > 0]).tolist())


def _dilated(mask: Mask) -> Mask:
    return np.asarray(ndimage.binary_dilation(mask, DILATION_SHAPE, iterations=DILATIONS), dtype=bool)


def _components(mask: Any) -> tuple[Labels, int]:
    numbers, count = ndimage.label(mask, TOUCHING)
    return numbers, int(count)
