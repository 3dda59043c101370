"""COCO's average precision and recall of boxes, one class (Lin et al., ECCV 2014), at the overlaps lung nodules use.

Greedy matching from the most probable box on, each truth matched once; precision interpolated at 101 recalls;
as MONAI's COCOMetric and nnDetection compute them. Boxes are (x0, y0, z0, x1, y1, z1), lower and upper corner, mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Boxes = NDArray[np.float64]

IOU_THRESHOLDS = tuple(round(0.1 + 0.05 * step, 2) for step in range(9))
"""0.10, 0.15 ... 0.50: the range of MONAI's lung nodule bundle; a nodule is too small for COCO's own 0.50 ... 0.95."""

MAX_DETECTIONS = 100
"""The most probable boxes of a scan that are used."""

RECALLS = np.linspace(0.0, 1.0, 101)
"""At which precision is averaged."""


@dataclass(frozen=True)
class ScanMatches:
    """One scan: score (D,) from high to low, matched (T, D) at each overlap threshold, and its number of truths."""

    score: NDArray[np.float64]
    matched: NDArray[np.bool_]
    truths: int


def cube(center: NDArray[np.float64], side: NDArray[np.float64]) -> Boxes:
    """Boxes (N, 6) about centres (N, 3) with sides (N,): what a diameter alone tells."""
    half = np.asarray(side, np.float64)[:, None] / 2
    return np.concatenate([center - half, center + half], axis=1)


def iou(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """Intersection over union of every pair, (N, 6) and (M, 6) -> (N, M); 0 where both are without volume."""
    low = np.maximum(a[:, None, :3], b[None, :, :3])
    high = np.minimum(a[:, None, 3:], b[None, :, 3:])
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    sizes = [np.clip(boxes[:, 3:] - boxes[:, :3], 0, None).prod(axis=1) for boxes in (a, b)]
    union = sizes[0][:, None] + sizes[1][None, :] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def match_scan(
    truth: Boxes, boxes: Boxes, score: NDArray[np.float64], thresholds: Sequence[float] = IOU_THRESHOLDS
) -> ScanMatches:
    """Match the boxes (D, 6) of one scan to its truths (G, 6), the most probable first."""
    order = np.argsort(-score, kind="stable")[:MAX_DETECTIONS]
    overlap = iou(boxes[order], truth)
    matched = np.zeros((len(thresholds), len(order)), bool)
    for row, threshold in enumerate(thresholds):
        free = np.ones(len(truth), bool)
        for column in np.flatnonzero((overlap >= threshold).any(axis=1)):
            fits = np.where(free & (overlap[column] >= threshold), overlap[column], -1.0)
            if fits.max() >= 0:
                matched[row, column] = True
                # among equal overlaps COCO takes the last
                free[len(fits) - 1 - int(np.argmax(fits[::-1]))] = False
    return ScanMatches(score[order], matched, len(truth))


def average_precision(scans: Sequence[ScanMatches], counts: NDArray[np.int32] | None = None) -> NDArray[np.float64]:
    """Average precision at each overlap threshold, (B, T), with scans drawn `counts` (B, scans) times; NaN without
    a truth. Without counts B is 1 and each scan counts once."""
    drawn = _once(scans) if counts is None else counts
    pool = _Pool.of(scans)
    truths = drawn @ pool.truths
    return np.stack([_one_threshold(pool, hit, drawn, truths) for hit in pool.matched], axis=1)


def average_recall(scans: Sequence[ScanMatches], counts: NDArray[np.int32] | None = None) -> NDArray[np.float64]:
    """Share of the truths that are matched at each overlap threshold, (B, T); NaN without a truth."""
    drawn = _once(scans) if counts is None else counts
    found = np.array([scan.matched.sum(axis=1) for scan in scans]).reshape(len(scans), -1)
    truths = (drawn @ np.array([scan.truths for scan in scans], np.int64)).astype(float)
    return np.asarray((drawn @ found) / np.where(truths > 0, truths, np.nan)[:, None])


@dataclass(frozen=True)
class _Pool:
    """The boxes of all scans from the most probable on: their scan (D,), matched (T, D); truths (scans,)."""

    scan: NDArray[np.intp]
    matched: NDArray[np.bool_]
    truths: NDArray[np.int64]

    @classmethod
    def of(cls, scans: Sequence[ScanMatches]) -> _Pool:
        order = np.argsort(-np.concatenate([scan.score for scan in scans]), kind="stable")
        number = np.repeat(np.arange(len(scans)), [len(scan.score) for scan in scans])
        matched = np.concatenate([scan.matched for scan in scans], axis=1)
        return cls(number[order], matched[:, order], np.array([scan.truths for scan in scans]))


def _one_threshold(
    pool: _Pool, hit: NDArray[np.bool_], drawn: NDArray[np.int32], truths: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(B,): precision averaged over RECALLS. Only the places of hits matter: elsewhere precision just falls."""
    hits = int(np.count_nonzero(hit))
    step: NDArray[np.intp] = np.cumsum(hit) - hit  # a false positive belongs to the hit that follows it

    def sums(which: NDArray[np.bool_]) -> NDArray[np.float64]:
        entries = np.ones(np.count_nonzero(which), np.int32), (step[which], pool.scan[which])
        table = sparse.csr_array(entries, shape=(hits, drawn.shape[1]))
        return np.cumsum((table @ drawn.T).T, axis=1).astype(float)

    true, false = sums(hit), sums(~hit & (step < hits))
    called = true + false
    precision = np.divide(true, called, out=np.zeros_like(called), where=called > 0)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    padded = np.concatenate([envelope, np.zeros((len(drawn), 1))], axis=1)
    out = np.full(len(drawn), np.nan)
    for row in np.flatnonzero(truths):
        out[row] = padded[row, np.searchsorted(true[row] / truths[row], RECALLS, side="left")].mean()
    return out


def _once(scans: Sequence[ScanMatches]) -> NDArray[np.int32]:
    return np.ones((1, len(scans)), np.int32)
