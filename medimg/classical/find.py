"""Findings without a network, and the second opinion on a network's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from medimg import geometry
from medimg.classical.blobs import MAX_BLOBS, Blobs, blobs
from medimg.classical.classifier import ShapeClassifier
from medimg.classical.region import Region, searched
from medimg.classical.shape import FEATURES, describe
from medimg.inference.roi import NO_LUNG, Chest
from medimg.results import Finding

MAX_FINDINGS = 100
"""LUNA16 reads at most 100 marks a scan (shared/reference/conventions.md)."""

CONSIDERED = 1000
"""The likeliest blobs of a scan, of which MAX_FINDINGS that are apart are kept."""

MIN_DISTANCE_MM = 5.0
"""Two blobs closer than this, or with one's centre inside the other, are one nodule."""

DIAMETER_MM = (3.0, 40.0)
"""What is measured along the rays is held within this."""

REACH_MM = 3.0
"""A blob this close to a finding's centre, or inside it, speaks for it."""

NO_BLOB_LOGIT = -7.0
"""Of a finding without a blob: one in a thousand."""

SHOWN = ("contrast_hu", "blobness", "roundness", "attached_fraction", "exit_groups", "surface_distance_mm")
"""Features that go into the report, so that a reader sees why."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Opinion:
    """Every blob of a scan: where (N, 3) LPS mm, diameter (N,), logit (N,) of being a nodule, features (N, F)."""

    center_lps_mm: Values
    diameter_mm: Values
    logit: Values
    features: Values
    whole: bool

    def select(self, keep: NDArray[np.int64]) -> Opinion:
        """The blobs that an index array picks."""
        return Opinion(
            self.center_lps_mm[keep], self.diameter_mm[keep], self.logit[keep], self.features[keep], self.whole
        )


@dataclass(frozen=True)
class Candidates:
    """The blobs of what was searched, strongest first, and their centres (N, 3) LPS mm."""

    region: Region
    blobs: Blobs
    center_lps_mm: Values


def candidates(chest: Chest) -> Candidates:
    """Every blob in the lungs of a chest CT in HU, or of an excerpt of one."""
    region = searched(chest)
    found = blobs(region.hu, region.lung)
    centres = geometry.ras_to_lps(geometry.to_world(region.affine_ras, found.voxels))
    return Candidates(region, found, np.asarray(centres))


def opinion(every: Candidates, classifier: ShapeClassifier, near: Sequence[Finding] | None = None) -> Opinion:
    """Look at the strongest candidates, or at those `near` findings only."""
    region, found, centres = every.region, every.blobs, every.center_lps_mm
    looked_at = np.arange(min(len(found), MAX_BLOBS)) if near is None else np.flatnonzero(_close_to(centres, near))
    found, centres = found.select(looked_at), centres[looked_at]
    features = describe(region, found)
    diameter = np.clip(np.exp(features[:, 0]), *DIAMETER_MM)
    return Opinion(centres, diameter, classifier.logit(features), features, region.whole)


def find(chest: Chest, classifier: ShapeClassifier, label: str) -> tuple[list[Finding], list[str]]:
    """At most MAX_FINDINGS, strongest first, and warnings."""
    every = opinion(candidates(chest), classifier)
    kept = every.select(apart(every)[:MAX_FINDINGS])
    findings = [_finding(kept, index, label) for index in range(len(kept.logit))]
    return findings, [] if every.whole else [NO_LUNG]


def confirmed(
    findings: Sequence[Finding], every: Candidates, classifier: ShapeClassifier, weight: float
) -> list[Finding]:
    """The findings with the probability of both: (1 - weight) of their own logit plus `weight` of their shape's.

    Strongest first.
    """
    return judged(findings, opinion(every, classifier, findings), weight) if findings else []


def judged(findings: Sequence[Finding], every: Opinion, weight: float) -> list[Finding]:
    """The findings weighed with an opinion of the blobs near them: that of the likeliest in or near each counts."""
    results = []
    for finding in findings:
        assert finding.probability is not None
        near = np.flatnonzero(_close_to(every.center_lps_mm, [finding]))
        best = near[np.argmax(every.logit[near])] if len(near) else None
        shape = NO_BLOB_LOGIT if best is None else max(NO_BLOB_LOGIT, float(every.logit[best]))
        both = (1 - weight) * logit(finding.probability) + weight * shape
        seen = {} if best is None else _shown(every.features[best])
        results.append(replace(finding, probability=float(expit(both)), measurements={**finding.measurements, **seen}))
    return sorted(results, key=lambda finding: -(finding.probability or 0))


def _close_to(centres: Values, findings: Sequence[Finding]) -> NDArray[np.bool_]:
    """Which of the centres (N, 3) LPS mm lie in a finding or within REACH_MM of its centre."""
    close = np.zeros(len(centres), dtype=bool)
    for finding in findings:
        distance = np.linalg.norm(centres - np.array(finding.center_lps_mm), axis=1)
        close |= distance < max(REACH_MM, (finding.diameter_mm or 0.0) / 2)
    return close


def apart(every: Opinion) -> NDArray[np.int64]:
    """Indices, strongest first, of blobs that are not in a stronger one."""
    kept: list[int] = []
    for index in np.argsort(-every.logit, kind="stable")[:CONSIDERED]:
        distance = np.linalg.norm(every.center_lps_mm[kept] - every.center_lps_mm[index], axis=1)
        if not (distance < np.maximum(MIN_DISTANCE_MM, every.diameter_mm[kept] / 2)).any():
            kept.append(int(index))
    return np.array(kept, dtype=np.int64)


def _finding(kept: Opinion, index: int, label: str) -> Finding:
    x, y, z = (float(value) for value in kept.center_lps_mm[index])
    diameter = float(kept.diameter_mm[index])
    half = diameter / 2
    return Finding(
        id=f"{label}-{index + 1}",
        label=label,
        center_lps_mm=(x, y, z),
        diameter_mm=diameter,
        volume_mm3=None,
        box_lps_mm=(x - half, y - half, z - half, x + half, y + half, z + half),
        probability=float(expit(kept.logit[index])),
        measurements=_shown(kept.features[index]),
    )


def _shown(features: Values) -> dict[str, float]:
    return {f"shape_{name}": round(float(features[FEATURES.index(name)]), 3) for name in SHOWN}
