"""What the infer stage of a detection pipeline says. Imports no torch: a pipeline without a network needs none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from medimg.errors import PipelineError

METHODS = ("network", "shape")
ROIS = ("whole", "lungs")
UNCHANGED = (1.0, 0.0)
"""The calibration that changes nothing."""


@dataclass(frozen=True)
class DetectOptions:
    """threshold: smallest probability reported. method: the bundle's network, or the classical detector by shape.

    roi: "lungs" or "whole". flips: average over mirror images (slower). label: what a finding is called.
    shape_weight: above 0, that share of a finding's logit comes from the classical detector, which looks at the same
    place. calibration: (slope, intercept) of the logit (Platt scaling), applied before the threshold.
    """

    threshold: float
    method: str = "network"
    roi: str = "whole"
    flips: bool = False
    label: str = "finding"
    shape_weight: float = 0.0
    calibration: tuple[float, float] = UNCHANGED

    @classmethod
    def from_stage(cls, options: Mapping[str, Any]) -> DetectOptions:
        """From the `infer` stage of a pipeline. Raises PipelineError for options that mean nothing."""
        if "threshold" not in options or not 0 < options["threshold"] < 1:
            raise PipelineError("infer stage: threshold must be given, between 0 and 1")
        for name, known in (("roi", ROIS), ("method", METHODS)):
            if options.get(name, known[0]) not in known:
                raise PipelineError(f"infer stage: {name} {options[name]!r}; choose {' or '.join(known)}")
        if not 0 <= options.get("shape_weight", 0) <= 1:
            raise PipelineError("infer stage: shape_weight must lie between 0 and 1")
        chosen = {entry.name: options[entry.name] for entry in fields(cls) if entry.name in options}
        if "calibration" in chosen:
            chosen["calibration"] = _line(chosen["calibration"])
        return cls(**chosen)


def _line(value: Any) -> tuple[float, float]:
    numbers = isinstance(value, (list, tuple)) and all(isinstance(entry, (int, float)) for entry in value)
    if not numbers or len(value) != 2 or not value[0] > 0:
        raise PipelineError("infer stage: calibration is [slope, intercept] with a slope above 0")
    return float(value[0]), float(value[1])
