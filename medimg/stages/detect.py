"""The infer stage of a detection pipeline: a network, the classical detector, or both; calibrated, then cut off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.special import expit, logit

from medimg.classical.classifier import read_classifier
from medimg.classical.find import candidates, confirmed
from medimg.classical.find import find as find_by_shape
from medimg.inference.detect_options import UNCHANGED, DetectOptions
from medimg.inference.roi import Chest
from medimg.pipeline import SHAPE
from medimg.results import Finding
from medimg.stages.case import Case

CANDIDATE_PROBABILITY = 0.05
"""From here on the network's candidates are shown to the classical detector."""

SMALLEST = 1e-6
"""Probabilities are held this far from 0 and 1 before their logit is taken: a report rounds there too."""

Found = tuple[list[Finding], list[str]]


def detect(case: Case, options: DetectOptions, by_network: Callable[[Chest, DetectOptions], Found]) -> None:
    """Put the findings of at least `options.threshold` into the report, strongest first, and the warnings.

    by_network: runs the bundle's network with other options than these; not called where the method is shape.
    """
    chest = case.chest
    path = case.pipeline.bundle / SHAPE
    if options.method == "shape":
        findings, warnings = find_by_shape(chest, read_classifier(path), options.label)
    elif options.shape_weight > 0:
        classifier = read_classifier(path)
        # before the network: this needs no torch, which may still be on its way (stages/ahead.py)
        blobs = candidates(chest)
        findings, warnings = by_network(chest, replace(options, threshold=CANDIDATE_PROBABILITY))
        findings = confirmed(findings, blobs, classifier, options.shape_weight)
    else:
        lowest = uncalibrated(options.threshold, options.calibration)
        findings, warnings = by_network(chest, replace(options, threshold=lowest))
    case.report.findings = _reported(findings, options)
    case.report.warnings += warnings


def calibrated(probability: float, line: tuple[float, float]) -> float:
    """Platt scaling: sigmoid(slope * logit(probability) + intercept)."""
    slope, intercept = line
    if line == UNCHANGED:
        return probability
    return float(expit(slope * logit(np.clip(probability, SMALLEST, 1 - SMALLEST)) + intercept))


def uncalibrated(probability: float, line: tuple[float, float]) -> float:
    """The inverse of `calibrated`."""
    slope, intercept = line
    return probability if line == UNCHANGED else float(expit((logit(probability) - intercept) / slope))


def _reported(findings: list[Finding], options: DetectOptions) -> list[Finding]:
    told = [replace(f, probability=calibrated(f.probability or 0.0, options.calibration)) for f in findings]
    kept = [finding for finding in told if (finding.probability or 0.0) >= options.threshold]
    return [replace(finding, id=f"{options.label}-{rank}") for rank, finding in enumerate(kept, start=1)]
