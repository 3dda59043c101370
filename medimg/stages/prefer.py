"""Which of several series a pipeline takes: a documented rule each, told in words in the report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from medimg import geometry
from medimg.errors import PipelineError
from medimg.stages.candidates import Candidate

AXIAL_COSINE = 0.9
"""A slice normal within about 25 degrees of the body's long axis counts as axial."""

MIN_CHEST_SLICES = 20
"""Fewer images than this are a localizer or a bolus-tracking series, not a chest."""


@dataclass(frozen=True)
class Preference:
    """`key` sorts candidates best first; equal keys are ambiguous. `words` says the rule to a reader."""

    words: str
    key: Callable[[Candidate], tuple[Any, ...]]


def preference(name: str) -> Preference:
    """The rule of that name. Raises PipelineError naming the known ones."""
    if name not in PREFERENCES:
        raise PipelineError(f"select stage: prefer {name!r} is unknown; rules are {', '.join(PREFERENCES)}")
    return PREFERENCES[name]
