"""What a scan is: volumes, where they came from, and the roles they play. No I/O, no torch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg import geometry

MR_ROLE_ALIASES: dict[str, str] = {
    "t1n": "t1n",
    "t1": "t1n",
    "t1w": "t1n",
    "t1c": "t1c",
    "t1ce": "t1c",
    "t1gd": "t1c",
    "ce-gadolinium_t1w": "t1c",
    "t2w": "t2w",
    "t2": "t2w",
    "t2f": "t2f",
    "flair": "t2f",
}
"""Lower-case file-name suffix -> role. BraTS 2023+, BraTS <= 2021 and BIDS spellings."""

CT_AIR_HU = -300.0
"""Every CT in HU with lung or air in it reaches below this (lung -950..-600, air -1000 HU); no MR, PET or mask does."""

HOUNSFIELD_TYPES = ("", "HU", "US")
"""Rescale Types of a CT in Hounsfield units: absent, said, or "unspecified" (PS3.3 section C.11.1.1.2)."""


@dataclass(frozen=True)
class Source:
    """Where a volume came from. `kind` is "dicom" or the file format; headers only where DICOM gave them.

    read_options: names of what the reader was allowed to do beyond its default; resampling: what it did to the grid,
    step by step (docs/output.md), () for voxels as they were scanned.
    """

    path: Path
    kind: str
    files: tuple[Path, ...] = ()
    sha256: str | None = None
    study_uid: str | None = None
    series_uid: str | None = None
    frame_of_reference_uid: str | None = None
    headers: dict[str, Any] = field(default_factory=dict)
    read_options: tuple[str, ...] = ()
    resampling: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Volume:
    """One single-channel scan on its own grid.

    array: (I, J, K), any real dtype; CT in HU. affine_ras: (4, 4), voxel index -> RAS mm.
    made_up: (I, J, K), where a resampled volume holds voxels that were not scanned; None when all were.
    It is numpy, not MetaTensor, so that preprocessing and header work need neither torch nor monai
    (4.4 s of imports); `medimg.inference` wraps it in a MetaTensor without copying.
    """

    array: NDArray[Any]
    affine_ras: geometry.Affine
    source: Source
    modality: str | None = None
    description: str = ""
    made_up: NDArray[np.bool_] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along i, j, k."""
        i, j, k = self.array.shape
        return (i, j, k)

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Voxel spacing along i, j, k in mm, (3,)."""
        return geometry.spacing_mm(self.affine_ras)

    @property
    def affine_lps(self) -> geometry.Affine:
        """The same grid in DICOM's frame: voxel index -> LPS mm."""
        return geometry.swap_ras_lps(self.affine_ras)

    def canonical(self) -> Volume:
        """The same scan with its axes in the order and direction closest to R, A, S; a view.

        What is computed on it does not depend on how the scan was stored.
        """
        return self.turned("RAS")

    def turned(self, codes: str) -> Volume:
        """The same scan with its axes in the order and direction closest to those, such as "LPS"; a view."""
        from nibabel import orientations

        change = orientations.ornt_transform(
            orientations.io_orientation(self.affine_ras), orientations.axcodes2ornt(tuple(codes))
        )
        array = orientations.apply_orientation(self.array, change)
        affine = np.asarray(self.affine_ras @ orientations.inv_ornt_aff(change, self.shape))
        made_up = None if self.made_up is None else orientations.apply_orientation(self.made_up, change)
        return replace(self, array=array, affine_ras=affine, made_up=made_up)

    def crop(self, start: tuple[int, int, int], stop: tuple[int, int, int]) -> Volume:
        """Sub-volume [start, stop) in voxels; a view, with its affine moved along."""
        window = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        made_up = None if self.made_up is None else self.made_up[window]
        affine = geometry.shifted(self.affine_ras, start)
        return replace(self, array=self.array[window], affine_ras=affine, made_up=made_up)
