"""What was asked for is done to a stack's voxels (gaps filled, tilt undone), and said in words for the manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg import geometry
from medimg.dicom.options import ReadOptions
from medimg.dicom.place import Stack
from medimg.dicom.regrid import Mask, new_grid, regrid, tilt_degrees
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
    outside = _outside(modality)
    done = regrid(array, stack.affine_ras, stack.at, stack.slices, untilt=untilt, outside=outside)
    return Repaired(done.array, done.affine_ras, done.made_up, _steps(stack, done.array.shape, untilt, outside))


def outlined(stack: Stack, modality: str, options: ReadOptions) -> Repaired:
    """What `repair` would give, without voxels: zeros that take no memory, and nothing marked as made up."""
    untilt = options.untilt and geometry.is_sheared(stack.affine_ras)
    shape, affine_ras = new_grid(_shape(stack), stack.affine_ras, untilt)
    array = np.broadcast_to(np.int16(0), shape)
    if stack.uneven is None and not untilt:
        return Repaired(array, affine_ras)
    made_up = np.broadcast_to(np.bool_(False), shape)
    return Repaired(array, affine_ras, made_up, _steps(stack, shape, untilt, _outside(modality)))


def _outside(modality: str) -> int:
    return AIR_HU if modality == "CT" else 0


def _steps(stack: Stack, shape: tuple[int, ...], untilt: bool, outside: int) -> tuple[dict[str, Any], ...]:
    gaps = () if stack.uneven is None else (_gaps_told(stack),)
    return gaps + ((_tilt_told(stack, shape, outside),) if untilt else ())


def _gaps_told(stack: Stack) -> dict[str, Any]:
    made_up = np.setdiff1d(np.arange(stack.slices), stack.at)
    return {
        "kind": "resample_gaps",
        "reason": str(stack.uneven),
        "method": "linear between slices",
        "slices_scanned": len(stack.frames),
        "slices_kept": int(np.count_nonzero(stack.at == np.round(stack.at))),
        "slices_made_up": len(made_up),
        "made_up_slices": made_up.astype(int).tolist(),
    }


def _tilt_told(stack: Stack, shape: tuple[int, ...], outside: int) -> dict[str, Any]:
    return {
        "kind": "untilt",
        "method": "linear within each slice",
        "tilt_degrees": round(tilt_degrees(stack.affine_ras), 4),
        "sheared_affine_ras": stack.affine_ras.tolist(),
        "grown_voxels": [int(new) - int(old) for new, old in zip(shape, _shape(stack), strict=True)],
        "outside_value": outside,
    }


def _shape(stack: Stack) -> tuple[int, int, int]:
    """Voxels (I, J, K) of the stack's even grid."""
    return (stack.frames[0].columns, stack.frames[0].rows, stack.slices)
