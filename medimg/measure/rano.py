"""Response assessment in neuro-oncology: the bidimensional measure of enhancing tumour.

RANO: Wen et al., J Clin Oncol 2010;28:1963-1972. RANO 2.0: Wen et al., J Clin Oncol 2023;41:5187-5199.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg import geometry
from medimg.measure import common
from medimg.results import Finding

ENHANCING = "enhancing"
"""The group of a pipeline whose bidimensional measure is RANO's; its keys begin with this."""

MEASURABLE_MM = 10.0
"""Both diameters of a measurable lesion are at least this (RANO 2010 and 2.0)."""

MAX_TARGETS = 3
"""The sum of products is over so many lesions at most, the largest (RANO 2.0)."""

PRODUCT = f"{ENHANCING}_product_mm2"
MEASURABLE = f"{ENHANCING}_measurable"
SIZES = (f"{ENHANCING}_long_axis_mm", f"{ENHANCING}_short_axis_mm", PRODUCT)


def enhancing_axes(
    voxels: common.Voxels, values: NDArray[np.uint8], labels: tuple[int, ...] | None, affine: geometry.Affine, cut: bool
) -> dict[str, Any]:
    """Axes and product of the largest enhancing part of one lesion.

    voxels: (N, 3) of the lesion, values: (N,) their labels, labels: those that enhance, None where they could not be
    told apart. All None then, and where the border cuts the lesion; axes None and not measurable without enhancement.
    """
    told: dict[str, Any] = {**dict.fromkeys(SIZES), MEASURABLE: None}
    if labels is None or cut:
        return told
    part = _largest_part(voxels[np.isin(values, labels)])
    if not len(part):
        return {**told, MEASURABLE: False}
    axes = common.axial_axes(part, affine)
    sizes = (axes.long_mm, axes.short_mm, axes.product_mm2)
    told.update({name: round(value, 3) for name, value in zip(SIZES, sizes, strict=True)})
    return {**told, MEASURABLE: axes.short_mm >= MEASURABLE_MM}


def sum_of_products_mm2(findings: Sequence[Finding]) -> float | None:
    """RANO 2.0's sum over the MAX_TARGETS largest measurable lesions; 0 where none is, None where one is not known."""
    measurable = [finding.measurements.get(MEASURABLE) for finding in findings]
    if any(value is None for value in measurable):
        return None
    products = sorted((f.measurements[PRODUCT] for f in findings if f.measurements[MEASURABLE]), reverse=True)
    return round(float(sum(products[:MAX_TARGETS])), 3)


def _largest_part(voxels: common.Voxels) -> common.Voxels:
    """The largest part that hangs together by faces, edges or corners."""
    from scipy import ndimage

    if not len(voxels):
        return voxels
    start = voxels.min(axis=0)
    box = np.zeros(voxels.max(axis=0) - start + 1, dtype=bool)
    box[tuple((voxels - start).T)] = True
    labels, _ = ndimage.label(box, structure=np.ones((3, 3, 3)))
    return np.asarray(np.argwhere(labels == np.bincount(labels[labels > 0]).argmax()) + start)
