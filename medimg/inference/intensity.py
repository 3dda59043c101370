"""Intensities as networks are trained on them. Imports no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def standardize(values: NDArray[np.float32], nonzero: bool) -> None:
    """Subtract the mean and divide by the standard deviation (by 1 where that is 0), in place.

    values: C-contiguous. nonzero: voxels that are 0 are not counted and stay 0. Slab by slab, sums in float64.
    """
    slabs = values.reshape(-1, *values.shape[-2:])
    counted: list[Any] = [slab != 0 if nonzero else True for slab in slabs]
    count = sum(int(np.count_nonzero(mask)) for mask in counted) if nonzero else values.size
    if not count:
        return
    sums = (slab.sum(dtype=np.float64, where=mask) for slab, mask in zip(slabs, counted, strict=True))
    mean = float(sum(sums)) / count
    for slab, mask in zip(slabs, counted, strict=True):
        np.subtract(slab, np.float32(mean), out=slab, where=mask)
    squares = (np.square(slab, dtype=np.float64).sum(where=mask) for slab, mask in zip(slabs, counted, strict=True))
    deviation = float(np.sqrt(float(sum(squares)) / count)) or 1.0
    slabs /= np.float32(deviation)
