"""One case of a segmentation: every figure of every region."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medimg import geometry
from medimg.evaluate import overlap
from medimg.evaluate.lesionwise import lesion_wise
from medimg.evaluate.regions import Regions
from medimg.evaluate.surface import bounding_box, surface_distances

ML_PER_MM3 = 1e-3

FIGURES = (
    "dice",
    "iou",
    "hd95_mm",
    "surface_dice",
    "sensitivity",
    "precision",
    "truth_ml",
    "prediction_ml",
    "volume_error_ml",
    "volume_error_percent",
    "lesionwise_dice",
    "lesionwise_hd95_mm",
    "lesions_found",
    "lesions_missed",
    "lesions_false",
)
"""What is measured of a region, in the order of the tables. volume_error: prediction - truth; percent of the truth.
NaN where they are not defined: percent and sensitivity where the truth is empty, precision where the prediction is."""

RegionFigures = dict[str, float]


def score_case(
    truth: NDArray[np.uint8],
    prediction: NDArray[np.uint8],
    affine_ras: geometry.Affine,
    regions: Regions,
    tolerance_mm: float,
) -> dict[str, RegionFigures]:
    """Region -> figure -> value, of two label maps (I, J, K) on one grid."""
    either = (truth > 0) | (prediction > 0)
    if either.any():
        # a margin, so that nothing touches the edge of the part that did not touch the edge of the whole
        window = bounding_box(either, margin=1)
        truth, prediction = truth[window], prediction[window]
    return {
        name: score_region(regions.mask(truth, name), regions.mask(prediction, name), affine_ras, tolerance_mm)
        for name in regions.values
    }


def score_region(
    truth: NDArray[np.bool_], prediction: NDArray[np.bool_], affine_ras: geometry.Affine, tolerance_mm: float
) -> RegionFigures:
    """Every figure of two masks (I, J, K) on the grid of `affine_ras`."""
    spacing, voxel_mm3 = geometry.spacing_mm(affine_ras), geometry.voxel_volume_mm3(affine_ras)
    distances = surface_distances(truth, prediction, spacing)
    lesions = lesion_wise(truth, prediction, spacing, voxel_mm3)
    volumes = [float(np.count_nonzero(mask)) * voxel_mm3 * ML_PER_MM3 for mask in (truth, prediction)]
    error = volumes[1] - volumes[0]
    return {
        "dice": overlap.dice(truth, prediction),
        "iou": overlap.iou(truth, prediction),
        "hd95_mm": distances.hd95_mm(),
        "surface_dice": distances.surface_dice(tolerance_mm),
        "sensitivity": overlap.sensitivity(truth, prediction),
        "precision": overlap.precision(truth, prediction),
        "truth_ml": volumes[0],
        "prediction_ml": volumes[1],
        "volume_error_ml": error,
        "volume_error_percent": 100 * error / volumes[0] if volumes[0] else float("nan"),
        "lesionwise_dice": lesions.dice,
        "lesionwise_hd95_mm": lesions.hd95_mm,
        "lesions_found": float(lesions.true_positives),
        "lesions_missed": float(lesions.false_negatives),
        "lesions_false": float(lesions.false_positives),
    }
