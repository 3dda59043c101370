"""Which of several scans a pipeline takes: a documented rule each, and in words why each other one was not taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from medimg.errors import PipelineError
from medimg.stages.candidates import Candidate
from medimg.stages.facts import Facts, facts_of

MIN_CHEST_SLICES = 20
"""Fewer images than this are a localizer or a bolus-tracking series, not a chest."""

THICKNESS_STEP_MM = 0.1
"""Slices whose thickness differs by less are equal."""


@dataclass(frozen=True)
class Criterion:
    """One step of a rule. key: smaller is better. words: how the first of two scans falls behind the second.

    required: a scan that fails it (its key is not False) is never taken in place of one that was refused.
    """

    key: Callable[[Facts], Any]
    words: Callable[[Facts, Facts], str]
    required: bool = False


@dataclass(frozen=True)
class Preference:
    """Criteria, the weightiest first; scans equal in all are ambiguous. `words` says the rule to a reader."""

    words: str
    criteria: tuple[Criterion, ...] = ()

    def key(self, candidate: Candidate) -> tuple[Any, ...]:
        """Sorts candidates best first."""
        facts = facts_of(candidate)
        return tuple(criterion.key(facts) for criterion in self.criteria)

    def why_not(self, candidate: Candidate, chosen: Candidate) -> str:
        """The first criterion by which the candidate falls behind the chosen one, in words."""
        worse, better = facts_of(candidate), facts_of(chosen)
        for criterion in self.criteria:
            if criterion.key(worse) != criterion.key(better):
                return criterion.words(worse, better)
        return "alike in everything the rule looks at"

    def shortcomings(self, candidate: Candidate) -> list[str]:
        """What the candidate lacks of that the rule requires, in words."""
        return self.lacks(facts_of(candidate))

    def lacks(self, facts: Facts) -> list[str]:
        """As `shortcomings`, of a scan whose facts are known."""
        return [c.words(facts, facts) for c in self.criteria if c.required and c.key(facts) is not False]


def preference(name: str) -> Preference:
    """The rule of that name. Raises PipelineError naming the known ones."""
    if name not in PREFERENCES:
        raise PipelineError(f"select stage: prefer {name!r} is unknown; rules are {', '.join(PREFERENCES)}")
    return PREFERENCES[name]


def _few(worse: Facts, _better: Facts) -> str:
    if worse.problem is not None:
        return f"no scan to search: {worse.problem}"
    return f"{worse.slices} slices are no whole chest"


def _plane(worse: Facts, _better: Facts) -> str:
    return f"{worse.plane} {'stack' if worse.original else 'reformat'}, not axial"


def _derived(worse: Facts, _better: Facts) -> str:
    return f"derived ({worse.derivation})" if worse.derivation else "derived"


def _bone(worse: Facts, better: Facts) -> str:
    return f"bone kernel ({worse.kernel}) against {better.kernel or 'a softer one'}"


def _thick(worse: Facts, better: Facts) -> str:
    return f"{worse.thickness_mm:.4g} mm slices against {better.thickness_mm:.4g} mm"


def _sharp(worse: Facts, better: Facts) -> str:
    return f"sharp kernel ({worse.kernel}) against soft ({better.kernel or 'not said'})"


def _later(worse: Facts, better: Facts) -> str:
    return f"series {worse.number} after series {better.number}, alike in all else"


THIN_AXIAL = Preference(
    "a whole axial stack, original, soft or lung kernel, thinnest slices, soft before sharp kernel, "
    "lowest series number",
    (
        Criterion(lambda facts: facts.slices < MIN_CHEST_SLICES, _few, required=True),
        Criterion(lambda facts: facts.plane != "axial", _plane, required=True),
        Criterion(lambda facts: not facts.original, _derived, required=True),
        Criterion(lambda facts: facts.bone, _bone),
        Criterion(lambda facts: _stepped(facts.thickness_mm), _thick),
        Criterion(lambda facts: facts.sharp, _sharp),
        Criterion(lambda facts: facts.number, _later),
    ),
)


def _stepped(thickness_mm: float) -> float:
    return thickness_mm if thickness_mm == float("inf") else round(thickness_mm / THICKNESS_STEP_MM)


PREFERENCES = {"only": Preference("being the only one"), "thin_axial": THIN_AXIAL}
"""Rules a pipeline's select stage can name as `prefer`."""
