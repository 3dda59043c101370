"""Label maps: volume files whose voxels are names, not measurements. An empty one is as sound as any other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from medimg.errors import InputError, Reason
from medimg.study import Volume
from medimg.volumes.read import read_voxels

MAX_LABEL = 255
"""medimg's label maps are uint8."""


def read_label_map(path: Path) -> Volume:
    """Read a label map: uint8 (I, J, K), 0 is background, which may be all there is.

    Raises InputError as `read_volume` does (but never empty_volume), and not_a_label_map for values that are no
    whole numbers from 0 to 255.
    """
    volume = read_voxels(path)
    labels = volume.array.astype(np.uint8) if _fits(volume) else None
    if labels is None or not np.array_equal(labels, volume.array):
        message = f"{path}: a label map holds whole numbers from 0 to {MAX_LABEL}; this file holds others"
        raise InputError(Reason.NOT_A_LABEL_MAP, message, [path])
    return replace(volume, array=labels)


def _fits(volume: Volume) -> bool:
    low, high = volume.array.min(), volume.array.max()
    return bool(low >= 0 and high <= MAX_LABEL)  # False for NaN
