"""A volume file between its header and its voxels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from medimg import geometry


@dataclass(frozen=True)
class Opened:
    """A volume file whose header was read and found sound; none of its voxels was.

    shape: (I, J, K, volumes). affine_ras: (4, 4), voxel -> RAS mm, of every volume. kind: "nifti" or "itk".
    parts: the header and the files that hold voxels. load: reads the voxels, (I, J, K, volumes); raises InputError.
    """

    path: Path
    shape: tuple[int, int, int, int]
    affine_ras: geometry.Affine
    kind: str
    parts: tuple[Path, ...]
    load: Callable[[], NDArray[Any]]
