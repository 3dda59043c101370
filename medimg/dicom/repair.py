"""What was asked for is done to a stack's voxels (gaps filled, tilt undone), and said in words for the manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg import geometry
from medimg.dicom.options import ReadOptions
from medimg.dicom.place import Stack
from medimg.dicom.regrid import Mask, Regridded, regrid, tilt_degrees
from medimg.dicom.voxels import AIR_HU


@dataclass(frozen=True)
class Repaired:
    """Voxels (I, J, K) with their affine to RAS mm.

    made_up: where none was scanned, None for an untouched stack; steps: what was done, JSON-ready.
    """

    array: NDArray[Any]
    affine_ras: geometry.Affine
    made_up: Mask | None = None
    steps: tuple[dict[str, Any], ...] = ()


def repair(array: NDArray[Any], stack: Stack, modality: str, options: ReadOptions) -> Repaired:
    """Bring the voxels (I, J, N) of the stack's N slices onto its even grid, and an orthogonal one with `untilt`.

    A stack that is even already, and not sheared or not to be untilted, comes back as it is. What lies outside the
    scan becomes air in a CT, 0 elsewhere.
    """
    untilt = options.untilt and geometry.is_sheared(stack.affine_ras)
    if stack.uneven is None and not untilt:
        return Repaired(array, stack.affine_ras)
    outside = AIR_HU if modality == "CT" else 0
    done = regrid(array, stack.affine_ras, stack.at, stack.slices, untilt=untilt, outside=outside)
    steps = []
    if stack.uneven is not None:
        steps.append(_gaps_told(stack, done))
    if untilt:
        steps.append(_tilt_told(stack, done, outside))
    return Repaired(done.array, done.affine_ras, done.made_up, tuple(steps))


def _gaps_told(stack: Stack, done: Regridded) -> dict[str, Any]:
    return {
        "kind": "resample_gaps",
        "reason": str(stack.uneven),
        "method": "linear between slices",
        "slices_scanned": len(stack.frames),
        "slices_kept": int(np.count_nonzero(stack.at == np.round(stack.at))),
        "slices_made_up": len(done.made_up_slices),
        "made_up_slices": list(done.made_up_slices),
    }


def _tilt_told(stack: Stack, done: Regridded, outside: int) -> dict[str, Any]:
    return {
        "kind": "untilt",
        "method": "linear within each slice",
        "tilt_degrees": round(tilt_degrees(stack.affine_ras), 4),
        "sheared_affine_ras": stack.affine_ras.tolist(),
        "grown_voxels": [int(new) - int(old) for new, old in zip(done.array.shape, _shape(stack), strict=True)],
        "outside_value": outside,
    }


def _shape(stack: Stack) -> tuple[int, int, int]:
    """Voxels (I, J, K) of the stack's even grid."""
    return (stack.frames[0].columns, stack.frames[0].rows, stack.slices)
