"""What a reader's output is worth: every voxel against the truth at the place where the reader says it lies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from conformance.cases import Expected, Truth
from conformance.cases.phantom import Phantom

MEDIAN_HU = 1.0
"""The field changes by about 6 HU a millimetre: half of the voxels are right within a fifth of one."""

WORST_HU = 3.0
"""What 95 % of the voxels must keep within: room for another interpolation, not for another place."""

CORRECTED = re.compile(r"_(Eq|Tilt)")
"""Files in which dcm2niix interpolated slices anew, beside the stack as it was."""

COMPLAINT = re.compile(
    r"warn|error|unable|fail|invalid|unsupported|missing|not |no |skip|ignor|exit code", re.IGNORECASE
)
"""A line with one of these says that something is amiss."""


@dataclass(frozen=True)
class Output:
    """What one reader gave for one folder. lines: what it printed, logged and raised."""

    status: str
    volumes: Sequence[tuple[str, Any, Any]]
    lines: frozenset[str]
    raised: bool


@dataclass(frozen=True)
class Verdict:
    """kind: one of KINDS; error: median HU by which the worst wrong volume is off."""

    kind: str
    error: float | None = None


KINDS = {
    "right": "every volume is right, and all are there",
    "refused": "nothing wrong came out, something is missing, and it said so",
    "partly": "what came out is right, something is missing, and nothing was said",
    "nothing": "nothing came out, and nothing was said",
    "warned": "a wrong volume came out, and it said that something is amiss",
    "wrong": "a wrong volume came out, and nothing was said",
    "crashed": "it crashed, hung, or took more memory than the limit",
}


def judge(expected: Expected, output: Output, usual: frozenset[str], scan: Phantom) -> Verdict:
    """usual: lines that the reader prints for a sound series as well; they are no complaint about this one."""
    if output.status != "ended":
        return Verdict("crashed")
    said = output.raised or any(COMPLAINT.search(line) for line in output.lines - usual)
    volumes = [volume for each in output.volumes for volume in _three_dimensional(each)]
    said = said or any(CORRECTED.search(name) for name, _array, _affine in volumes)
    left = list(expected.volumes)
    wrong = []
    for name, array, affine in volumes:
        match = _match(name, array, affine, left, scan)
        if match is not None:
            left.remove(match)
        elif not expected.harmless and not _is_true_all_the_same(name, array, affine, expected, scan):
            wrong.append(_error(name, array, affine, expected, scan))
    if wrong or (volumes and expected.guess):
        return Verdict("warned" if said else "wrong", max(wrong, default=0.0))
    if not left and (expected.volumes or volumes):
        return Verdict("right")
    if said or not (expected.volumes or expected.rejected):
        return Verdict("refused")
    return Verdict("partly" if volumes else "nothing")


def lines_of(text: str) -> frozenset[str]:
    """Lines without numbers and paths, so that the same message about another file is the same line."""
    plain = (re.sub(r"/\S+|[0-9a-fx.]*\d[0-9a-f.]*", "#", line).strip() for line in text.splitlines())
    return frozenset(line for line in plain if line)


def _three_dimensional(volume: tuple[str, Any, Any]) -> list[tuple[str, Any, Any]]:
    """The volumes of one array: a colour picture is none, a 4-D one several."""
    name, array, affine = volume
    if array.dtype.names:
        return []
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim <= 3:
        return [(name, array, affine)]
    array = array.reshape(*array.shape[:3], -1)
    return [(name, array[..., t], affine) for t in range(array.shape[3])]


def _differences(name: str, array: Any, affine: Any, scan: Phantom) -> Any:
    """Value minus field at every voxel; voxels that an interpolation left empty are left out."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in array.shape], indexing="ij"), axis=-1)
    ras = index @ affine[:3, :3].T + affine[:3, 3]
    difference = array - scan.truth(ras * np.array([-1, -1, 1]))
    return difference[array > array.min()] if CORRECTED.search(name) else difference.ravel()


def _agrees(difference: Any, truth: Truth) -> bool:
    error = np.abs(difference - truth.add)
    if not error.size or not np.isfinite(error).all():
        return False
    slack = max(truth.tolerance, 0.51) - 0.51
    # padding is air or nothing here: it fills no more than two of a hundred voxels
    return bool(np.median(error) <= MEDIAN_HU + slack and np.percentile(error, 95) <= WORST_HU + 2 * slack)


def _match(name: str, array: Any, affine: Any, left: Sequence[Truth], scan: Phantom) -> Truth | None:
    difference = _differences(name, array, affine, scan)
    voxels = scan.rows * scan.columns
    whole = (truth for truth in left if array.size >= 0.95 * truth.slices * voxels)
    return next((truth for truth in whole if _agrees(difference, truth)), None)


def _is_true_all_the_same(name: str, array: Any, affine: Any, expected: Expected, scan: Phantom) -> bool:
    """A volume nobody asked for, a lone scout or a corrected copy, that lies where it says."""
    difference = _differences(name, array, affine, scan)
    return any(_agrees(difference, truth) for truth in (*expected.volumes, Truth(1)))


def _error(name: str, array: Any, affine: Any, expected: Expected, scan: Phantom) -> float:
    difference = _differences(name, array, affine, scan)
    adds = {truth.add for truth in expected.volumes} | {0.0}
    return float(min(np.median(np.abs(difference - add)) for add in adds)) if difference.size else float("nan")
