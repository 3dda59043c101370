"""LUNA16's free-response ROC, as the challenge's own evaluation computes it (Setio et al., Med Image Anal 2017;42:1).

A mark hits a nodule when their squared distance is strictly less than the squared radius; a negative diameter means
10 mm. Of several marks on one nodule the most probable counts, the others are ignored. Marks that hit nothing but an
excluded finding are ignored too. A nodule without a mark stays in the denominator of the sensitivity. Every scan
counts in the divisor of the false positives, with or without nodules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives a scan at which the sensitivity is read; their mean is the competition performance metric."""

MAX_MARKS = 100
"""Of a scan with more marks, those strictly above the 101st score are kept."""

UNKNOWN_DIAMETER_MM = 10.0
"""Taken for a finding whose diameter is negative (LUNA16's excluded findings mostly have -1)."""

NO_MARK = -1
"""In place of a mark's index, for a nodule that was missed."""


@dataclass(frozen=True)
class Points:
    """Findings or marks of several scans: scan (N,) index; xyz (N, 3) LPS mm; value (N,) diameter mm or probability."""

    scan: NDArray[np.intp]
    xyz: NDArray[np.float64]
    value: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.scan)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Points:
        """Those of the index, or where the mask is true."""
        return Points(self.scan[index], self.xyz[index], self.value[index])


@dataclass(frozen=True)
class Matches:
    """What became of every nodule and mark. Marks are those that the cap of a scan left.

    scans: how many. nodule_scan (N,), nodule_score (N,) -inf where missed, nodule_mark (N,) index of the mark that
    counts (into the marks given), NO_MARK where missed. false_scan, false_score (M,): the false positives.
    """

    scans: int
    nodule_scan: NDArray[np.intp]
    nodule_score: NDArray[np.float64]
    nodule_mark: NDArray[np.intp]
    false_scan: NDArray[np.intp]
    false_score: NDArray[np.float64]
    marks: int
    ignored_excluded: int
    ignored_double: int

    @property
    def found(self) -> NDArray[np.bool_]:
        """(N,): the nodules that some mark hit."""
        return np.asarray(self.nodule_mark != NO_MARK)


@dataclass(frozen=True)
class Curve:
    """False positives a scan, sensitivity and the score of each step, from (0, 0) on; (K,) each."""

    rate: NDArray[np.float64]
    sensitivity: NDArray[np.float64]
    score: NDArray[np.float64]

    def at(self, rates: Sequence[float]) -> NDArray[np.float64]:
        """The sensitivity at these rates, linear between the steps; the last one beyond the curve's end."""
        return np.interp(rates, self.rate, self.sensitivity)


def match(nodules: Points, excluded: Points, marks: Points, scans: int, max_marks: int = MAX_MARKS) -> Matches:
    """Hold the marks against the nodules and the excluded findings, scan by scan."""
    kept = capped(marks, scans, max_marks)
    score = np.full(len(nodules), -np.inf)
    chosen = np.full(len(nodules), NO_MARK, np.intp)
    false: list[NDArray[np.intp]] = []
    ignored = double = 0
    by_nodule, by_excluded, by_mark = (by_scan(p.scan, scans) for p in (nodules, excluded, marks.take(kept)))
    for scan in range(scans):
        here = kept[by_mark[scan]]
        if not len(here):
            continue
        own = by_nodule[scan]
        on_nodule = hits(nodules.take(own), marks.take(here))
        on_excluded = hits(excluded.take(by_excluded[scan]), marks.take(here)).any(axis=0)
        struck = on_nodule.any(axis=0)
        # within a nodule, the first of the most probable marks
        best = np.argmax(np.where(on_nodule, marks.value[here], -np.inf), axis=1)
        found = on_nodule.any(axis=1)
        chosen[own[found]] = here[best[found]]
        score[own[found]] = marks.value[here[best[found]]]
        false.append(here[~struck & ~on_excluded])
        ignored += int(np.count_nonzero(on_excluded & ~struck))
        double += int(on_nodule.sum() - found.sum())
    wrong = np.concatenate([np.empty(0, np.intp), *false])
    return Matches(
        scans, nodules.scan, score, chosen, marks.scan[wrong], marks.value[wrong], len(kept), ignored, double
    )


def hits(findings: Points, marks: Points) -> NDArray[np.bool_]:
    """(F, M): whether each mark lies strictly within the radius of each finding; both of one scan."""
    diameter = np.where(findings.value < 0, UNKNOWN_DIAMETER_MM, findings.value)
    offset = findings.xyz[:, None, :] - marks.xyz[None, :, :]
    # summed x, y, z in this order: the official script's floating-point result, to the last bit
    squared = offset[..., 0] ** 2 + offset[..., 1] ** 2 + offset[..., 2] ** 2
    return np.asarray(squared < ((diameter / 2) ** 2)[:, None])


def capped(marks: Points, scans: int, max_marks: int = MAX_MARKS) -> NDArray[np.intp]:
    """Indices of the marks that remain when each scan keeps at most `max_marks`; ties with the next one go too."""
    keep = []
    for here in by_scan(marks.scan, scans):
        if len(here) > max_marks:
            values = marks.value[here]
            limit = np.partition(values, len(values) - max_marks - 1)[len(values) - max_marks - 1]
            keep.append(here[values > limit])
        else:
            keep.append(here)
    return np.concatenate([np.empty(0, np.intp), *keep])


def curve(matches: Matches, only: NDArray[np.bool_] | None = None) -> Curve:
    """The FROC curve; with `only` (N,) the sensitivity is that of these nodules, at the same false positives."""
    steps = _Steps.of(matches, only)
    positives, negatives = steps.sums(np.ones((1, matches.scans), np.int32))
    total = matches.nodule_score.size if only is None else np.count_nonzero(only)
    return Curve(
        negatives[0] / max(matches.scans, 1),
        positives[0] / max(total, 1),
        np.concatenate([[np.inf], steps.score]),
    )


def replicates(matches: Matches, counts: NDArray[np.int32], rates: Sequence[float]) -> NDArray[np.float64]:
    """Sensitivities at the rates when scans are drawn `counts` (B, scans) times: (B, rates), NaN without nodules."""
    positives, negatives = _Steps.of(matches).sums(counts)
    totals = counts @ np.bincount(matches.nodule_scan, minlength=matches.scans)
    out = np.full((len(counts), len(rates)), np.nan)
    for row in np.flatnonzero(totals):
        out[row] = np.interp(rates, negatives[row] / matches.scans, positives[row] / totals[row])
    return out


@dataclass(frozen=True)
class _Steps:
    """The corners of the curve: scores from high to low, and the hits and false positives of each scan between them.

    A run of scores that only false positives have is one step: the curve is flat there. positive, negative:
    sparse (K, scans), how many fall on each step.
    """

    score: NDArray[np.float64]
    positive: sparse.csr_array
    negative: sparse.csr_array

    @classmethod
    def of(cls, matches: Matches, only: NDArray[np.bool_] | None = None) -> _Steps:
        hit = matches.found if only is None else matches.found & only
        scores, step = _descending(np.concatenate([matches.nodule_score[hit], matches.false_score]))
        positives = np.count_nonzero(hit)
        has_positive = np.zeros(len(scores), bool)
        has_positive[step[:positives]] = True
        # a flat run ends before the next hit, and at the end of the curve
        corner = has_positive | np.append(has_positive[1:], True)
        merged = np.cumsum(np.append(0, corner))[:-1]
        shape = (int(np.count_nonzero(corner)), matches.scans)

        def table(part: NDArray[np.intp], scan: NDArray[np.intp]) -> sparse.csr_array:
            return sparse.csr_array((np.ones(len(part), np.int32), (merged[part], scan)), shape=shape)

        return cls(
            scores[corner],
            table(step[:positives], matches.nodule_scan[hit]),
            table(step[positives:], matches.false_scan),
        )

    def sums(self, counts: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Hits and false positives down to each corner, (B, 1 + K) each, with scans drawn `counts` (B, scans)."""
        start = np.zeros((len(counts), 1), np.int32)
        drawn = ((part @ counts.T).T for part in (self.positive, self.negative))
        positives, negatives = (np.concatenate([start, np.cumsum(d, axis=1, dtype=np.int32)], axis=1) for d in drawn)
        return positives, negatives


def _descending(scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The distinct scores from high to low, and the place of each score among them."""
    distinct, place = np.unique(-scores, return_inverse=True)
    return -distinct, place.reshape(-1)


def by_scan(scan: NDArray[np.intp], scans: int) -> list[NDArray[np.intp]]:
    """For each scan the indices of its points, in their own order."""
    order = np.argsort(scan, kind="stable")
    return np.split(order, np.searchsorted(scan[order], np.arange(1, scans))) if scans else []
